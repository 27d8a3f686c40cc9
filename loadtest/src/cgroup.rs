//! A control group of one's own, to starve a process in. Invariant: only processes that were put into it are held, and it goes
//! with its owner, who lets them out first.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Where Linux shows control groups.
const ROOT: &str = "/sys/fs/cgroup";
/// The period of a processor quota, µs.
const PERIOD_MICROS: u64 = 100_000;

/// What is rationed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ration {
    /// So many bytes of memory, the cache of files included.
    Memory(u64),
    /// So many µs of processor time in a tenth of a second.
    Processor(u64),
}

/// A control group.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    parent: PathBuf,
}

impl Cgroup {
    /// Makes a group with a ration.
    ///
    /// # Errors
    /// When this machine does not let us: it takes root.
    pub fn new(ration: Ration) -> anyhow::Result<Self> {
        let (controller, old_files, new_files) = match ration {
            Ration::Memory(bytes) => (
                "memory",
                vec![("memory.limit_in_bytes", bytes.to_string())],
                vec![("memory.max", bytes.to_string()), ("memory.swap.max", "0".to_owned())],
            ),
            Ration::Processor(micros) => (
                "cpu",
                vec![("cpu.cfs_period_us", PERIOD_MICROS.to_string()), ("cpu.cfs_quota_us", micros.to_string())],
                vec![("cpu.max", format!("{micros} {PERIOD_MICROS}"))],
            ),
        };
        let old = Path::new(ROOT).join(controller);
        let (parent, files) = if old.is_dir() { (old, old_files) } else { (PathBuf::from(ROOT), new_files) };
        let path = parent.join(format!("weir-chaos-{}", crate::scratch::unique()));
        fs::create_dir(&path).with_context(|| format!("making the control group {}", path.display()))?;
        let group = Self { path, parent };
        for (file, value) in files {
            group.write(&group.path, file, &value)?;
        }
        Ok(group)
    }

    /// Whether this machine lets us ration.
    pub fn is_possible() -> bool {
        Self::new(Ration::Memory(1 << 30)).is_ok() && Self::new(Ration::Processor(PERIOD_MICROS)).is_ok()
    }

    /// Puts a process into it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn hold(&self, pid: Option<u32>) -> anyhow::Result<()> {
        let Some(pid) = pid else { bail!("no process to be held") };
        self.write(&self.path, "cgroup.procs", &pid.to_string())
    }

    fn write(&self, group: &Path, file: &str, value: &str) -> anyhow::Result<()> {
        let path = group.join(file);
        fs::write(&path, value).with_context(|| format!("writing {value} to {}", path.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for pid in fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default().lines() {
            // One that has ended meanwhile needs no letting out.
            drop(self.write(&self.parent, "cgroup.procs", pid));
        }
        if let Err(error) = fs::remove_dir(&self.path) {
            crate::say(format_args!("could not remove {}: {error}", self.path.display()));
        }
    }
}
