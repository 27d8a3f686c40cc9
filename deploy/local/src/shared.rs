//! One set of engines for all tests of a process. Invariant: what an earlier test process left behind is gone before
//! this one starts its own.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use nix::sys::signal::Signal;

use crate::{EngineOptions, Engines, Error, Result, proc_table, process::KILLED_BY, wait::poll};

static SHARED: OnceLock<std::result::Result<Engines, String>> = OnceLock::new();

/// The engines of this test process, started by the first caller in `root/.weir/test-<pid>`. They die with the process;
/// their directory is removed by the next run.
///
/// # Panics
/// When they do not start: no test can go on, and each says why.
pub fn shared_for_tests(root: &Path) -> &'static Engines {
    let started = SHARED.get_or_init(|| {
        let parent = root.join(".weir");
        remove_leftovers(&parent);
        let dir = parent.join(format!("test-{}", std::process::id()));
        Engines::start(&dir, &EngineOptions::default()).map_err(|error| error.to_string())
    });
    match started {
        Ok(engines) => engines,
        Err(error) => panic!("the engines for the tests did not start: {error}"),
    }
}

/// Removes the directories of test processes that are gone, with whatever still runs there: paused engines outlive the
/// kill that takes their postmaster. Best effort; a directory of another user stays.
fn remove_leftovers(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for dir in entries.map(|entry| entry.path()).filter(|dir| is_leftover(dir)) {
        drop(remove(&dir));
    }
}

/// Removes the directory of engines with all its data, wherever Postgres had to keep them; engines still there are killed.
pub fn remove(root: &Path) -> Result<()> {
    let store = fs::canonicalize(root.join("pg/store")).unwrap_or_default();
    let engines: Vec<_> = [root, &store].into_iter().flat_map(proc_table::engines_below).collect();
    engines.iter().for_each(|engine| engine.signal(Signal::SIGKILL));
    // A dying engine may still write: its directory would not stay empty while it is removed.
    poll(KILLED_BY, || (!engines.iter().any(|engine| engine.is_alive())).then_some(()));
    if is_fallback(&store) {
        fs::remove_dir_all(&store).map_err(Error::io(format!("remove {}", store.display())))?;
    }
    fs::remove_dir_all(root).map_err(Error::io(format!("remove {}", root.display())))
}

fn is_leftover(dir: &Path) -> bool {
    let pid = dir.file_name().and_then(|name| name.to_str()?.strip_prefix("test-")?.parse().ok());
    pid.is_some_and(|pid: u32| proc_table::Identity::of(pid).is_none() || pid == std::process::id())
}

/// Only a directory this library made outside the checkout may be removed by way of a link.
fn is_fallback(store: &Path) -> bool {
    let name: PathBuf = store.file_name().map(PathBuf::from).unwrap_or_default();
    name.to_string_lossy().starts_with("weir-pg-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_gone_processes_are_leftovers() {
        assert!(!is_leftover(Path::new("/x/.weir/pg")));
        assert!(!is_leftover(Path::new("/x/.weir/test-1")));
        assert!(is_leftover(Path::new("/x/.weir/test-4194999")));
    }

    #[test]
    fn only_our_own_directories_are_followed() {
        assert!(is_fallback(Path::new("/var/tmp/weir-pg-00ff")));
        assert!(!is_fallback(Path::new("/home/me/pg")));
        assert!(!is_fallback(Path::new("")));
    }
}
