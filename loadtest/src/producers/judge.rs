//! What the client said held against what the log has. Invariant: pure; nothing is judged but by record number, and a copy of a record
//! is never held against the order.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir::kafka::{Placement, PublishError};

/// What a client said of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// The log has it there.
    Acknowledged {
        /// Partition of the topic.
        partition: i32,
        /// Offset in it.
        offset: i64,
    },
    /// The log may have it.
    Unknown,
    /// The log does not have it.
    Refused,
}

impl Outcome {
    pub(super) fn of(result: &Result<Placement, PublishError>) -> Self {
        match result {
            Ok(Placement { partition, offset }) => Self::Acknowledged { partition: *partition, offset: *offset },
            Err(PublishError::Unknown) => Self::Unknown,
            Err(_) => Self::Refused,
        }
    }
}

/// One record as its client saw it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its number.
    pub(super) number: u64,
    /// When its call was due, µs after the start.
    pub(super) due_us: u64,
    /// When its call was answered, µs after the start.
    pub(super) answered_us: u64,
    /// What was said.
    pub(super) outcome: Outcome,
}

impl Entry {
    fn took_us(&self) -> u64 {
        self.answered_us.saturating_sub(self.due_us)
    }
}

/// One record as the log has it.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Its number.
    pub(super) number: u64,
    /// Its key.
    pub(super) key: Vec<u8>,
    /// Partition of the topic.
    pub(super) partition: i32,
    /// Offset in it.
    pub(super) offset: i64,
}

/// What became of all records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Records offered.
    pub offered: usize,
    /// Of them acknowledged.
    pub acknowledged: usize,
    /// Acknowledged, and not in the log.
    pub lost: usize,
    /// Acknowledged, and not where the acknowledgement says.
    pub misplaced: usize,
    /// Acknowledged, and more than once in the log.
    pub doubled: usize,
    /// Not acknowledged, and more than once in the log.
    pub doubled_unknown: usize,
    /// Answered by "the log may have it".
    pub unknown: usize,
    /// Of them in the log.
    pub unknown_stored: usize,
    /// Answered by "the log does not have it".
    pub refused: usize,
    /// Of them in the log all the same.
    pub refused_stored: usize,
    /// Records that come after a later one of their key.
    pub out_of_order: usize,
    /// Longest time without an acknowledgement, while records were offered.
    pub longest_stall_ms: u64,
    /// Longest time from when a call was due to its answer.
    pub longest_answer_ms: u64,
    /// From when a call was due to an answer that is no acknowledgement: half of them took no longer.
    pub failed_answer_p50_ms: u64,
}

impl Verdict {
    /// Whether nothing was said that is not so.
    pub fn honest(&self) -> bool {
        self.lost == 0 && self.misplaced == 0 && self.refused_stored == 0
    }
}

/// Holds the entries of one client against the log.
pub(super) fn judge(entries: &[Entry], mut log: Vec<Held>) -> Verdict {
    log.sort_unstable_by_key(|held| (held.partition, held.offset));
    let places: BTreeSet<_> = log.iter().map(|held| (held.number, held.partition, held.offset)).collect();
    let mut copies: BTreeMap<u64, usize> = BTreeMap::new();
    for held in &log {
        *copies.entry(held.number).or_default() += 1;
    }
    let copies = |entry: &Entry| copies.get(&entry.number).copied().unwrap_or(0);
    let said = |wanted: fn(&Outcome) -> bool| entries.iter().filter(move |entry| wanted(&entry.outcome));
    let acknowledged = || said(|outcome| matches!(outcome, Outcome::Acknowledged { .. }));
    let unknown = || said(|outcome| *outcome == Outcome::Unknown);
    let refused = || said(|outcome| *outcome == Outcome::Refused);
    let misplaced = acknowledged().filter(|entry| match entry.outcome {
        Outcome::Acknowledged { partition, offset } => !places.contains(&(entry.number, partition, offset)),
        _ => false,
    });
    Verdict {
        offered: entries.len(),
        acknowledged: acknowledged().count(),
        lost: acknowledged().filter(|entry| copies(entry) == 0).count(),
        misplaced: misplaced.filter(|entry| copies(entry) > 0).count(),
        doubled: acknowledged().filter(|entry| copies(entry) > 1).count(),
        doubled_unknown: unknown().filter(|entry| copies(entry) > 1).count(),
        unknown: unknown().count(),
        unknown_stored: unknown().filter(|entry| copies(entry) > 0).count(),
        refused: refused().count(),
        refused_stored: refused().filter(|entry| copies(entry) > 0).count(),
        out_of_order: out_of_order(&log),
        longest_stall_ms: longest_stall(entries) / 1_000,
        longest_answer_ms: entries.iter().map(Entry::took_us).max().unwrap_or(0) / 1_000,
        failed_answer_p50_ms: median(unknown().chain(refused()).map(Entry::took_us).collect()) / 1_000,
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// Of a log in the order of its offsets: first copies that stand behind a later record of their key.
fn out_of_order(log: &[Held]) -> usize {
    let (mut seen, mut newest) = (BTreeSet::new(), BTreeMap::new());
    let mut late = 0;
    for held in log.iter().filter(|held| seen.insert(held.number)) {
        let newest = newest.entry(&held.key).or_insert(held.number);
        late += usize::from(held.number < *newest);
        *newest = held.number.max(*newest);
    }
    late
}

/// µs between two acknowledgements, or between one and the beginning or end of what was offered.
fn longest_stall(entries: &[Entry]) -> u64 {
    let acknowledged = entries.iter().filter(|entry| matches!(entry.outcome, Outcome::Acknowledged { .. }));
    let mut times: Vec<u64> = acknowledged.map(|entry| entry.answered_us).collect();
    times.extend(entries.iter().map(|entry| entry.due_us).min());
    times.extend(entries.iter().map(|entry| entry.due_us).max());
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64, outcome: Outcome) -> Entry {
        Entry { number, due_us: number * 1_000, answered_us: number * 1_000 + 500, outcome }
    }

    fn at(offset: i64) -> Outcome {
        Outcome::Acknowledged { partition: 0, offset }
    }

    fn held(number: u64, key: &str, offset: i64) -> Held {
        Held { number, key: key.into(), partition: 0, offset }
    }

    #[test]
    fn each_kind_of_untruth_has_its_count() {
        let entries = [
            entry(0, at(0)),
            entry(1, at(1)),
            entry(2, at(2)),
            Entry { answered_us: 93_000, ..entry(3, Outcome::Unknown) },
            Entry { answered_us: 24_000, ..entry(4, Outcome::Unknown) },
            entry(5, Outcome::Refused),
            entry(6, Outcome::Refused),
            entry(7, at(9)),
        ];
        let log = [(0, 0), (2, 2), (2, 3), (3, 4), (3, 5), (5, 6), (7, 7)];
        let verdict = judge(&entries, log.map(|(number, offset)| held(number, "a", offset)).into());
        let expected = Verdict {
            offered: 8,
            acknowledged: 4,
            lost: 1,
            misplaced: 1,
            doubled: 1,
            doubled_unknown: 1,
            unknown: 2,
            unknown_stored: 1,
            refused: 2,
            refused_stored: 1,
            out_of_order: 0,
            longest_stall_ms: 4,
            longest_answer_ms: 90,
            failed_answer_p50_ms: 20,
        };
        assert_eq!(verdict, expected);
        assert!(!verdict.honest());
    }

    #[test]
    fn order_is_that_of_a_key_and_copies_do_not_break_it() {
        let log = vec![held(4, "a", 0), held(1, "b", 1), held(2, "a", 2), held(4, "a", 3), held(5, "a", 4)];
        let verdict = judge(&[], log);
        assert_eq!(verdict.out_of_order, 1);
        assert!(verdict.honest());
    }

    #[test]
    fn a_client_that_gets_nothing_through_stalls_all_the_time() {
        let entries: Vec<Entry> = (0..=30).map(|number| entry(number, Outcome::Unknown)).collect();
        assert_eq!(judge(&entries, Vec::new()).longest_stall_ms, 30);
    }
}
