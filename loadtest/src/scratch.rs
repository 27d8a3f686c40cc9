//! Directories of a run. Invariant: a scratch directory is gone when its owner is, unless it is kept on purpose.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use weir::domain::time::Timestamp;

/// A directory of one's own.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
    keep: bool,
}

impl Dir {
    /// A new directory below the system's temporary one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new(purpose: &str) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("weir-{purpose}-{}", unique()));
        std::fs::create_dir_all(&path)?;
        Ok(Self { path, keep: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it in place for inspection.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            crate::say(format_args!("could not remove {}: {error}", self.path.display()));
        }
    }
}

/// A short text that no other run on this machine has: time, process and a counter in base 36.
pub fn unique() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let counter = u128::from(COUNTER.fetch_add(1, Ordering::Relaxed));
    let micros = u128::from(Timestamp::now().micros().unsigned_abs());
    let mut number = (micros << 24) | (u128::from(std::process::id() & 0xFFFF) << 8) | (counter & 0xFF);
    let mut text = Vec::new();
    while number > 0 {
        text.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
    }
    text.reverse();
    String::from_utf8_lossy(&text).into_owned()
}
