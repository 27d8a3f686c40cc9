//! Runs that take longer than a sitting, kept in a file. Invariant: the file is whole at every moment, and what it says was done
//! was done by the same command; a run that is stopped goes on at the part it was stopped in.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The record of a long run.
pub trait Kept: Serialize + DeserializeOwned {
    /// What the run does, for the comparison with what is asked for.
    fn task(&self) -> String;

    /// Reads the record of an earlier sitting, or begins with `fresh`.
    ///
    /// # Errors
    /// When the file is of another run, or cannot be read.
    fn resume(path: &Path, fresh: Self) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(fresh),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let kept: Self =
            serde_json::from_str(&text).with_context(|| format!("{} is no such record", path.display()))?;
        let (then, now) = (kept.task(), fresh.task());
        ensure!(then == now, "{} is of another run: {then}, not {now}", path.display());
        Ok(kept)
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// What the file system says.
    fn keep(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        let fresh = path.with_extension("new");
        let text = serde_json::to_string_pretty(self).context("writing JSON")?;
        fs::write(&fresh, text + "\n").with_context(|| format!("writing {}", fresh.display()))?;
        fs::rename(&fresh, path).with_context(|| format!("replacing {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Run {
        of: String,
        parts: u32,
    }

    impl Kept for Run {
        fn task(&self) -> String {
            self.of.clone()
        }
    }

    fn run(of: &str, parts: u32) -> Run {
        Run { of: of.to_owned(), parts }
    }

    #[test]
    fn a_run_goes_on_where_it_stopped_and_no_other_run_does() {
        let dir = crate::scratch::Dir::new("kept").expect("directory");
        let path = dir.path().join("deep/run.json");
        assert_eq!(Run::resume(&path, run("worker", 0)).expect("fresh"), run("worker", 0));
        run("worker", 3).keep(&path).expect("kept");
        assert_eq!(Run::resume(&path, run("worker", 0)).expect("resumed"), run("worker", 3));
        let other = Run::resume(&path, run("api", 0)).expect_err("another run");
        assert!(other.to_string().contains("another run: worker, not api"), "{other}");
        fs::write(&path, "{\"of\":").expect("torn");
        assert!(Run::resume(&path, run("worker", 0)).is_err(), "a torn record is not begun anew in silence");
    }
}
