//! Processor time by component, from `/proc`. Invariant: time of a child that has ended is not lost, since its parent carries it.
//!
//! A component is a process with all its descendants (Postgres is one, whatever backends come and go); the generator is this
//! process alone, because the engines of a bench are its children. Resolution is the kernel's tick, 10 ms.

use std::collections::BTreeMap;
use std::fs;

/// Microseconds of one tick of `/proc/PID/stat` (`USER_HZ` is 100 on Linux).
const TICK_MICROS: u64 = 10_000;

/// A line of `/proc/PID/stat`, as far as needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    own_ticks: u64,
    /// Of children that have ended and were waited for.
    ended_ticks: u64,
}

fn parse(line: &str) -> Option<Stat> {
    // The name in parentheses may hold blanks and parentheses; fields are counted from behind it.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        own_ticks: number(11)? + number(12)?,
        ended_ticks: number(13)? + number(14)?,
    })
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Processor time of this process alone, in µs.
pub fn of_self() -> u64 {
    stat(std::process::id()).map_or(0, |stat| stat.own_ticks * TICK_MICROS)
}

/// Processor time of a process with its descendants, in µs; 0 when it is gone.
pub fn of_tree(root: u32) -> u64 {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let table: BTreeMap<u32, Stat> = pids
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect();
    let below = |mut pid: u32| {
        // Bounded by the depth of the tree; a parent is always another process.
        while pid != root {
            match table.get(&pid) {
                Some(stat) if stat.parent > 1 => pid = stat.parent,
                _ => return false,
            }
        }
        true
    };
    let family = table.iter().filter(|(pid, _)| below(**pid));
    family.map(|(_, stat)| (stat.own_ticks + stat.ended_ticks) * TICK_MICROS).sum()
}

/// Name of the generator's own share.
pub const GENERATOR: &str = "generator";

/// µs by component.
pub type Usage = BTreeMap<String, u64>;

/// The components of a run.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    roots: Vec<(String, u32)>,
}

impl Meter {
    /// Adds a component by its root process; an absent one is left out.
    #[must_use]
    pub fn with(mut self, name: &str, pid: Option<u32>) -> Self {
        self.roots.extend(pid.map(|pid| (name.to_owned(), pid)));
        self
    }

    /// What each has used so far, the generator included.
    pub fn read(&self) -> Usage {
        let mut usage: Usage = self.roots.iter().map(|(name, pid)| (name.clone(), of_tree(*pid))).collect();
        usage.insert(GENERATOR.to_owned(), of_self());
        usage
    }
}

/// What was used between two readings.
pub fn between(before: &Usage, after: &Usage) -> Usage {
    after
        .iter()
        .map(|(name, micros)| (name.clone(), micros.saturating_sub(before.get(name).copied().unwrap_or(0))))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_stat_line_is_read_past_a_hostile_name() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194304 1 2 3 4 11 22 33 44 20 0 1 0";
        assert_eq!(parse(line), Some(Stat { parent: 7, own_ticks: 33, ended_ticks: 77 }));
        assert_eq!(parse("42 (a"), None);
    }

    #[test]
    fn work_of_this_process_and_of_its_ended_children_shows() {
        let before = (of_self(), of_tree(std::process::id()));
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        assert!(Command::new("sh").args(["-c", script]).status().expect("sh").success());
        let mut sum = 0u64;
        for number in 0..60_000_000u64 {
            sum = sum.wrapping_add(std::hint::black_box(number) * number);
        }
        std::hint::black_box(sum);
        let (own, tree) = (of_self() - before.0, of_tree(std::process::id()) - before.1);
        assert!(own > 0, "own work");
        assert!(tree > own, "the child's work is in the tree: {tree} against {own}");
    }

    #[test]
    fn usage_is_the_difference_by_name() {
        let usage = |api: u64| Usage::from([("api".to_owned(), api)]);
        assert_eq!(between(&usage(5), &usage(9)), usage(4));
    }
}
