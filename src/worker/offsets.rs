//! Which offset of each partition is safe to commit. Invariant: the next offset of a partition never passes a record that is
//! polled and not done, never goes backwards within an assignment, and never hears of an assignment that has ended.
//!
//! Offsets may have holes (compaction, transaction markers), so "contiguous" means: nothing *polled* is missing below. A
//! rebalance gives the partition a fresh [`Generation`]; whatever a write of an older one reports late is ignored, because the
//! new owner starts from the committed offset anyway and the database absorbs what both wrote.

use std::collections::{HashMap, VecDeque};

use crate::kafka::Partition;

/// One assignment of a partition to this process; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(u64);

/// What to do with a polled record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Take it on under this generation.
    New(Generation),
    /// It is on its way or done already (a seek went back): drop it.
    Repeated,
    /// Its partition is not ours (any more): drop it.
    Foreign,
}

#[derive(Debug)]
struct State {
    generation: Generation,
    /// Polled offsets from the lowest that is not done, in order, each with whether it is done.
    window: VecDeque<(i64, bool)>,
    /// One past the last polled offset; `None` before the first.
    polled_end: Option<i64>,
}

impl State {
    fn next(&self) -> Option<i64> {
        self.window.front().map(|(offset, _)| *offset).or(self.polled_end)
    }
}

/// The partitions that are ours now, and how far each is done.
#[derive(Debug, Default)]
pub struct Offsets {
    states: HashMap<Partition, State>,
    generations: u64,
}

impl Offsets {
    /// A partition became ours. Whatever was known of it is forgotten.
    pub fn assign(&mut self, partition: Partition) -> Generation {
        self.generations += 1;
        let generation = Generation(self.generations);
        self.states.insert(partition, State { generation, window: VecDeque::new(), polled_end: None });
        generation
    }

    /// A partition is ours no more.
    pub fn revoke(&mut self, partition: &Partition) {
        self.states.remove(partition);
    }

    /// A record came off the log.
    pub fn polled(&mut self, partition: &Partition, offset: i64) -> Seen {
        let Some(state) = self.states.get_mut(partition) else { return Seen::Foreign };
        if state.polled_end.is_some_and(|end| offset < end) {
            return Seen::Repeated;
        }
        state.window.push_back((offset, false));
        state.polled_end = Some(offset + 1);
        Seen::New(state.generation)
    }

    /// Records reached their end: the database or the dead-letter topic has them.
    pub fn done(&mut self, partition: &Partition, generation: Generation, offsets: impl IntoIterator<Item = i64>) {
        let Some(state) = self.states.get_mut(partition).filter(|state| state.generation == generation) else { return };
        for offset in offsets {
            if let Ok(at) = state.window.binary_search_by_key(&offset, |(polled, _)| *polled) {
                state.window[at].1 = true;
            }
        }
        while state.window.front().is_some_and(|(_, done)| *done) {
            state.window.pop_front();
        }
    }

    /// The lowest offset that is not done: what to commit. `None` before the first record of an assignment.
    pub fn next(&self, partition: &Partition) -> Option<i64> {
        self.states.get(partition).and_then(State::next)
    }

    /// What [`Offsets::next`] would be once `offsets` (ascending) are done as well; `None` when that would not move it.
    pub fn next_if_done(&self, partition: &Partition, generation: Generation, offsets: &[i64]) -> Option<i64> {
        let state = self.states.get(partition).filter(|state| state.generation == generation)?;
        let mut batch = offsets.iter().copied().peekable();
        let mut moved = false;
        for &(offset, done) in &state.window {
            while batch.next_if(|taken| *taken < offset).is_some() {}
            let closes = batch.next_if_eq(&offset).is_some();
            if !closes && !done {
                return moved.then_some(offset);
            }
            moved = true;
        }
        if moved { state.polled_end } else { None }
    }

    /// Whether everything polled of a partition is done.
    pub fn idle(&self, partition: &Partition) -> bool {
        self.states.get(partition).is_some_and(|state| state.window.is_empty())
    }

    /// Records between the lowest that is not done and the newest polled, done ones included: what the tracker remembers.
    pub fn remembered(&self, partition: &Partition) -> usize {
        self.states.get(partition).map_or(0, |state| state.window.len())
    }

    /// Records polled and not done, of all partitions.
    pub fn open(&self) -> usize {
        self.states.values().map(|state| state.window.iter().filter(|(_, done)| !done).count()).sum()
    }

    /// The partitions that are ours.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.states.keys()
    }

    /// The running assignment of a partition.
    pub fn generation(&self, partition: &Partition) -> Option<Generation> {
        self.states.get(partition).map(|state| state.generation)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition() -> Partition {
        Partition { topic: "t".into(), partition: 0 }
    }

    fn polled(offsets: &[i64]) -> (Offsets, Generation) {
        let mut tracker = Offsets::default();
        let generation = tracker.assign(partition());
        for offset in offsets {
            assert_eq!(tracker.polled(&partition(), *offset), Seen::New(generation));
        }
        (tracker, generation)
    }

    #[test]
    fn nothing_to_commit_before_the_first_record() {
        let (tracker, _) = polled(&[]);
        assert_eq!(tracker.next(&partition()), None);
        assert!(tracker.idle(&partition()));
    }

    #[test]
    fn the_lowest_gap_holds_the_offset() {
        let (mut tracker, generation) = polled(&[5, 6, 7]);
        assert_eq!(tracker.next(&partition()), Some(5));
        tracker.done(&partition(), generation, [6, 7]);
        assert_eq!(tracker.next(&partition()), Some(5));
        tracker.done(&partition(), generation, [5]);
        assert_eq!(tracker.next(&partition()), Some(8));
        assert_eq!(tracker.remembered(&partition()), 0);
    }

    #[test]
    fn holes_of_compaction_and_markers_hold_nothing() {
        let (mut tracker, generation) = polled(&[5, 9, 20]);
        tracker.done(&partition(), generation, [5]);
        assert_eq!(tracker.next(&partition()), Some(9));
        tracker.done(&partition(), generation, [9, 20]);
        assert_eq!(tracker.next(&partition()), Some(21));
    }

    #[test]
    fn a_record_polled_again_after_a_seek_is_taken_once() {
        let (mut tracker, generation) = polled(&[5, 6]);
        tracker.done(&partition(), generation, [5]);
        assert_eq!(tracker.polled(&partition(), 5), Seen::Repeated);
        assert_eq!(tracker.polled(&partition(), 6), Seen::Repeated);
        assert_eq!(tracker.next(&partition()), Some(6));
    }

    #[test]
    fn a_late_report_of_an_old_assignment_is_ignored() {
        let (mut tracker, old) = polled(&[5, 6]);
        tracker.revoke(&partition());
        assert_eq!(tracker.polled(&partition(), 7), Seen::Foreign);
        tracker.done(&partition(), old, [5, 6]);
        assert_eq!(tracker.next(&partition()), None);

        let new = tracker.assign(partition());
        assert_eq!(tracker.polled(&partition(), 5), Seen::New(new));
        tracker.done(&partition(), old, [5]);
        assert_eq!(tracker.next(&partition()), Some(5));
        assert_eq!(tracker.next_if_done(&partition(), old, &[5]), None);
    }

    #[test]
    fn a_batch_knows_whether_it_closes_the_gap() {
        let (mut tracker, generation) = polled(&[5, 6, 9, 10]);
        assert_eq!(tracker.next_if_done(&partition(), generation, &[5, 6]), Some(9));
        assert_eq!(tracker.next_if_done(&partition(), generation, &[6, 9]), None);
        assert_eq!(tracker.next_if_done(&partition(), generation, &[5, 9]), Some(6));
        tracker.done(&partition(), generation, [6]);
        assert_eq!(tracker.next_if_done(&partition(), generation, &[5]), Some(9));
        assert_eq!(tracker.next_if_done(&partition(), generation, &[5, 9, 10]), Some(11));
        assert_eq!(tracker.next_if_done(&partition(), generation, &[]), None);
    }

    proptest! {
        /// Against the plain definition: next = lowest polled and not done, else one past the last polled.
        #[test]
        fn agrees_with_the_definition(
            holes in proptest::collection::vec(1i64..4, 1..60),
            batches in proptest::collection::vec(proptest::collection::vec(0usize..60, 0..20), 0..12),
        ) {
            let offsets: Vec<i64> = holes.iter().scan(0, |at, hole| { *at += hole; Some(*at) }).collect();
            let (mut tracker, generation) = polled(&offsets);
            let mut open: std::collections::BTreeSet<i64> = offsets.iter().copied().collect();
            let end = offsets[offsets.len() - 1] + 1;
            let mut last = offsets[0];
            for batch in batches {
                let mut taken: Vec<i64> = batch.iter().filter_map(|at| offsets.get(*at)).copied().collect();
                taken.sort_unstable();
                taken.dedup();
                let before = tracker.next(&partition());
                let promised = tracker.next_if_done(&partition(), generation, &taken);
                tracker.done(&partition(), generation, taken.iter().copied());
                for offset in &taken { open.remove(offset); }
                let next = open.first().copied().unwrap_or(end);
                prop_assert_eq!(tracker.next(&partition()), Some(next));
                if before != Some(next) { prop_assert_eq!(promised, Some(next)); } else { prop_assert_eq!(promised, None); }
                prop_assert!(next >= last, "never backwards");
                last = next;
                prop_assert!(tracker.remembered(&partition()) <= offsets.len());
            }
        }
    }
}
