//! The kernel's process table, read from /proc. Invariant: a number alone never names a process, since numbers are
//! used again; number and start time together do.

use std::{fmt, fs, path::Path, str::FromStr};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// One process, told apart from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    started: u64,
}

impl Identity {
    /// The process that has this number now; a zombie counts as gone.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let row = Row::read(pid)?;
        (row.state != 'Z' && row.state != 'X').then_some(Self { pid, started: row.started })
    }

    /// Whether it still exists, running or stopped.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal if it still exists. A process that is gone, or not ours, is for the waiting caller to notice.
    pub fn signal(self, signal: Signal) {
        if self.is_alive()
            && let Ok(pid) = i32::try_from(self.pid)
        {
            kill(Pid::from_raw(pid), signal).unwrap_or_default();
        }
    }

    /// All its living descendants.
    #[must_use]
    pub fn descendants(self) -> Vec<Self> {
        let rows: Vec<Row> = pids().filter_map(Row::read).collect();
        let mut family = vec![self.pid];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(rows.iter().filter(|row| row.parent == parent).map(|row| row.pid));
            next += 1;
        }
        family.into_iter().skip(1).filter_map(Self::of).collect()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.started)
    }
}

impl FromStr for Identity {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (pid, started) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        Ok(Self { pid: pid.parse()?, started: started.parse()? })
    }
}

/// Engines whose working directory lies below `dir`: what a crash left behind there. Only programs with an engine's
/// name count, so that nobody's shell is taken for one.
#[must_use]
pub fn engines_below(dir: &Path) -> Vec<Identity> {
    let Ok(dir) = fs::canonicalize(dir) else { return Vec::new() };
    let runs_there = |pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        ["postgres", "redis-server", "java"].contains(&name.trim())
            && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&dir))
    };
    pids().filter(runs_there).filter_map(Identity::of).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The columns of /proc/PID/stat needed here.
struct Row {
    pid: u32,
    state: char,
    parent: u32,
    started: u64,
}

impl Row {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The command, in brackets, may itself hold brackets and blanks: the last one ends it.
    fn parse(pid: u32, line: &str) -> Option<Self> {
        let columns: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            pid,
            state: columns.first()?.chars().next()?,
            parent: columns.get(1)?.parse().ok()?,
            started: columns.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_command_name_does_not_shift_the_columns() {
        let line = "7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9911 1 1";
        let row = Row::parse(7, line).expect("parsed");
        assert_eq!((row.state, row.parent, row.started), ('S', 3, 9911));
    }

    #[test]
    fn an_identity_survives_its_file() {
        let me = Identity::of(std::process::id()).expect("alive");
        assert_eq!(me.to_string().parse(), Ok(me));
        assert!(me.is_alive());
    }

    #[test]
    fn the_same_number_started_at_another_time_is_another_process() {
        let me = Identity::of(std::process::id()).expect("alive");
        assert!(!Identity { started: me.started + 1, ..me }.is_alive());
    }

    #[test]
    fn a_broken_file_names_nobody() {
        assert!("12".parse::<Identity>().is_err());
        assert!("".parse::<Identity>().is_err());
    }
}
