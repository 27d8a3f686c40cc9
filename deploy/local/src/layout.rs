//! Where the files of one set of engines are. Invariant: nothing outside this module joins such a path by hand.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Error, Result, files};

/// One directory with everything that belongs to its engines.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Creates the directory if it is absent, readable by its owner and passable by others: Postgres may run as another user.
    pub fn new(root: &Path) -> Result<Self> {
        for dir in [root.to_path_buf(), root.join("run"), root.join("log")] {
            files::create_dir(&dir, 0o711)?;
        }
        let root = fs::canonicalize(root).map_err(Error::io(format!("resolve {}", root.display())))?;
        Ok(Self { root })
    }

    /// The directory itself, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of one engine, created if absent.
    pub fn engine(&self, name: &str) -> Result<PathBuf> {
        let dir = self.root.join(name);
        files::create_dir(&dir, 0o711)?;
        Ok(dir)
    }

    /// Which process runs as `name`.
    #[must_use]
    pub fn process_file(&self, name: &str) -> PathBuf {
        self.root.join("run").join(format!("{name}.pid"))
    }

    /// The port `name` keeps.
    #[must_use]
    pub fn port_file(&self, name: &str) -> PathBuf {
        self.root.join("run").join(format!("{name}.port"))
    }

    /// What `name` prints; the run before is kept beside it as `.old`.
    #[must_use]
    pub fn log_file(&self, name: &str) -> PathBuf {
        self.root.join("log").join(format!("{name}.log"))
    }
}
