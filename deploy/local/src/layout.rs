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

    /// Whether engines were ever started in a directory. To be asked before anything is stopped or removed there: a
    /// directory given by mistake may have a `run` with process files of others, as `/` has.
    #[must_use]
    pub fn exists(root: &Path) -> bool {
        root.join("run/postgres.port").is_file()
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

    /// The port `name` keeps, if it ever had one.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<u16> {
        files::read(&self.port_file(name)).ok()??.trim().parse().ok()
    }

    /// The names of all processes that were started here and not stopped.
    #[must_use]
    pub fn processes(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.join("run")).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".pid")?.to_owned())).collect();
        names.sort();
        names
    }

    /// What `name` prints; the run before is kept beside it as `.old`.
    #[must_use]
    pub fn log_file(&self, name: &str) -> PathBuf {
        self.root.join("log").join(format!("{name}.log"))
    }
}
