//! What a process holds: memory, descriptors, threads. Invariant: a sample is of one moment, and of a process that is there.

use std::fs;

use serde::{Deserialize, Serialize};

/// Bytes of a KiB.
const KIB: u64 = 1_024;

/// What a process held at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vitals {
    /// Resident memory, in KiB.
    pub rss_kib: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Vitals {
    /// Of a process; `None` when it is gone.
    pub fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        parse(&status, descriptors)
    }

    /// Resident memory in MiB.
    pub fn rss_mib(self) -> f64 {
        self.rss_kib as f64 / KIB as f64
    }
}

fn parse(status: &str, descriptors: u64) -> Option<Vitals> {
    let number = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.split_ascii_whitespace().next()?.parse().ok()
    };
    Some(Vitals { rss_kib: number("VmRSS")?, threads: number("Threads")?, descriptors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_and_this_process_has_one() {
        let status = "Name:\tweir\nVmHWM:\t  900 kB\nVmRSS:\t  512 kB\nThreads:\t7\n";
        assert_eq!(parse(status, 3), Some(Vitals { rss_kib: 512, descriptors: 3, threads: 7 }));
        assert_eq!(parse("Name:\tzombie\n", 0), None, "a zombie holds nothing");
        let mine = Vitals::of(std::process::id()).expect("alive");
        assert!(mine.rss_kib > 0 && mine.descriptors > 2 && mine.threads > 0, "{mine:?}");
    }
}
