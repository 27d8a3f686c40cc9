//! A small disk of its own, to be filled. Invariant: it is a file system in memory, unmounted with its owner; no other disk is
//! ever filled.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

/// Mounting takes no time; a hanging system is no reason to wait longer.
const MOUNT: Duration = Duration::from_secs(20);

/// A mounted disk.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts an empty disk of so many MiB at a directory, which is made.
    ///
    /// # Errors
    /// When this machine does not let us: it takes root.
    pub fn mount(path: &Path, mib: u32) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0755"), "tmpfs"]).arg(path);
        weir_local::command::run(&mut mount, "", MOUNT).context("mounting a small disk")?;
        Ok(Self { path: path.to_owned() })
    }

    /// Whether this machine lets us mount.
    pub fn is_possible() -> bool {
        crate::scratch::Dir::new("disk").is_ok_and(|dir| Self::mount(&dir.path().join("try"), 1).is_ok())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all its room.
    ///
    /// # Errors
    /// When it cannot be written for another reason than being full.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut ballast =
            File::options().create(true).append(true).open(self.ballast()).context("opening the ballast")?;
        // Ever smaller pieces, or up to a piece would stay free.
        for size in [1 << 20, 1 << 12, 1] {
            let piece = vec![0; size];
            loop {
                match ballast.write(&piece) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("filling the disk"),
                }
            }
        }
        Ok(())
    }

    /// Gives it back.
    ///
    /// # Errors
    /// What the file system says.
    pub fn clear(&self) -> anyhow::Result<()> {
        fs::remove_file(self.ballast()).context("removing the ballast")
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that still ends may hold a file.
        let mut umount = Command::new("umount");
        umount.arg("--lazy").arg(&self.path);
        if let Err(error) = weir_local::command::run(&mut umount, "", MOUNT) {
            crate::say(format_args!("could not unmount {}: {error}", self.path.display()));
        }
    }
}
