//! What can go wrong with an engine. Every variant says what to look at next: the program, the file or the engine's log.

use std::{fmt, io, path::Path, time::Duration};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure to run or to reach an engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is not installed.
    #[error("{program} is not installed; `make up` installs it, or by hand: {hint}")]
    Missing {
        /// The program looked for.
        program: &'static str,
        /// How to get it.
        hint: &'static str,
    },
    /// The system refused a file, a process or a socket.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The engine runs but does not answer in time.
    #[error("{engine} does not answer after {waited:.0?}{tail}")]
    NotReady {
        /// Which engine.
        engine: String,
        /// How long it was given.
        waited: Duration,
        /// The end of its log.
        tail: LogTail,
    },
    /// The engine is not there (any more).
    #[error("{engine} is not running{tail}")]
    NotRunning {
        /// Which engine.
        engine: String,
        /// The end of its log.
        tail: LogTail,
    },
    /// A helper program ended with a failure.
    #[error("{program} failed ({status}){tail}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        tail: LogTail,
    },
    /// A helper program did not end in time and was killed.
    #[error("{program} was stopped after {waited:.0?}{tail}")]
    TooSlow {
        /// The program.
        program: String,
        /// How long it was given.
        waited: Duration,
        /// The end of what it printed.
        tail: LogTail,
    },
    /// A name that cannot be a database's.
    #[error("{0:?} is no database name: a lower-case letter or _ first, then letters, digits or _, at most 63")]
    DatabaseName(String),
    /// A directory that belongs to somebody else.
    #[error("{0} exists and belongs to another user; remove it or set TMPDIR")]
    ForeignDirectory(String),
}

impl Error {
    /// Wraps an I/O error with what was being done.
    pub fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

/// The last lines of a log, ready to stand at the end of an error message.
#[derive(Debug, Clone, Default)]
pub struct LogTail(String);

/// Enough to see a cause, short enough to read in a test failure.
const TAIL_LINES: usize = 15;

impl LogTail {
    /// Reads the tail of a file; an unreadable file is an empty tail.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        let mut tail = Self::of_text(&String::from_utf8_lossy(&text));
        if !tail.0.is_empty() {
            tail.0 = format!(" ({}){}", path.display(), tail.0);
        }
        tail
    }

    /// Keeps the tail of a text.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let first = lines.len().saturating_sub(TAIL_LINES);
        Self(lines[first..].iter().map(|line| format!("\n    {line}")).collect())
    }
}

impl fmt::Display for LogTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; its last lines{}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_keeps_the_last_lines_and_skips_blank_ones() {
        let text: String = (0..40).map(|n| format!("line {n}\n\n")).collect();
        let tail = LogTail::of_text(&text).to_string();
        assert!(tail.ends_with("line 39"), "{tail}");
        assert!(tail.contains("line 25") && !tail.contains("line 24"), "{tail}");
    }

    #[test]
    fn no_log_adds_nothing_to_the_message() {
        assert_eq!(LogTail::of_file(Path::new("/nonexistent")).to_string(), "");
    }
}
