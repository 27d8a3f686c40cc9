//! Deficit round robin (Shreedhar and Varghese, 1995): in which order strands give records to a batch, and how much each. A
//! strand is what one account has in one partition. Invariant: between two visits of a strand every other strand in the ring
//! is visited exactly once, and per visit none gives more than its quantum plus what it saved, so a strand with one ordinary
//! record waits one round at most, however much the others hold.
//!
//! A record costs its bytes plus a fixed price for the row, so that neither many small records nor few large ones are a way to
//! more than one's share. A record dearer than a quantum waits until the visits of its strand have saved enough.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Price of a row beside its bytes: an insert of a small event costs Postgres about as much as a thousand bytes more of it.
pub const ROW: u64 = 1_024;

/// What a strand of weight 1 may give a visit: about a dozen events of half a kilobyte.
pub const QUANTUM: u64 = 16 * ROW;

/// Price of one record.
pub fn cost(bytes: usize) -> u64 {
    ROW.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// How a visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// The strand has nothing more to give.
    Emptied,
    /// Its next record is dearer than what is left, which is saved.
    Saved(u64),
    /// The batch took no more: the strand keeps its turn and what is left of it, and is given no more until the next one.
    Full(u64),
}

/// What a strand may give at a visit.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    saved: u64,
    quantum: u64,
}

impl Turn {
    /// The price of what a strand of this weight may give.
    pub fn credit(self, weight: u64) -> u64 {
        self.saved.saturating_add(self.quantum.saturating_mul(weight))
    }
}

/// The ring of strands that have something to give.
#[derive(Debug)]
pub struct Share<K> {
    ring: VecDeque<K>,
    /// What strands saved, those outside the ring included.
    saved: HashMap<K, Saved>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Saved {
    credit: u64,
    /// The visit was cut off by a full batch, so that the next one is the rest of it.
    cut: bool,
}

impl<K> Default for Share<K> {
    fn default() -> Self {
        Self { ring: VecDeque::new(), saved: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash> Share<K> {
    /// A strand that is not in the ring takes its place: before all others when a full batch cut its visit off, else behind them.
    pub fn join(&mut self, strand: K) {
        if self.saved.get(&strand).is_some_and(|saved| saved.cut) {
            self.ring.push_front(strand);
        } else {
            self.ring.push_back(strand);
        }
    }

    /// Whether nobody has anything to give.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Strands in the ring.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// A strand is no more.
    pub fn forget(&mut self, strand: K) {
        self.saved.remove(&strand);
    }

    /// Takes strands out of the ring; what they saved stays.
    pub fn leave(&mut self, goes: impl Fn(K) -> bool) {
        self.ring.retain(|strand| !goes(*strand));
    }

    /// Visits strand after strand, each with its quantum and what it saved, until one visit says that the batch is full or
    /// nobody is left.
    pub fn draw(&mut self, mut visit: impl FnMut(K, Turn) -> Visit) {
        while let Some(strand) = self.ring.pop_front() {
            let Saved { credit, cut } = self.saved.remove(&strand).unwrap_or_default();
            let turn = Turn { saved: credit, quantum: if cut { 0 } else { QUANTUM } };
            match visit(strand, turn) {
                Visit::Emptied => {}
                Visit::Saved(credit) => {
                    self.saved.insert(strand, Saved { credit, cut: false });
                    self.ring.push_back(strand);
                }
                Visit::Full(credit) => {
                    self.saved.insert(strand, Saved { credit, cut: true });
                    self.ring.push_front(strand);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Draws one batch of `room` records; each strand is a list of costs.
    fn batch(share: &mut Share<usize>, strands: &mut [VecDeque<u64>], weights: &[u64], room: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        share.draw(|strand, turn| {
            let mut credit = turn.credit(weights[strand]);
            while let Some(cost) = strands[strand].front() {
                if taken.len() == room {
                    return Visit::Full(credit);
                }
                if *cost > credit {
                    return Visit::Saved(credit);
                }
                credit -= cost;
                strands[strand].pop_front();
                taken.push(strand);
            }
            Visit::Emptied
        });
        taken
    }

    fn joined(strands: usize) -> Share<usize> {
        let mut share = Share::default();
        (0..strands).for_each(|strand| share.join(strand));
        share
    }

    #[test]
    fn one_record_is_in_the_next_batch_however_long_the_others_are() {
        let mut strands = vec![VecDeque::from(vec![1_500; 100_000]), VecDeque::from(vec![1_500; 1])];
        let mut share = joined(2);
        let taken = batch(&mut share, &mut strands, &[1, 1], 100);
        let at = taken.iter().position(|strand| *strand == 1).expect("taken");
        assert!(at as u64 <= QUANTUM / 1_500, "after one quantum of the other, not at {at}");
    }

    #[test]
    fn weights_are_shares() {
        let mut strands = vec![VecDeque::from(vec![1_024; 100_000]); 3];
        let taken = batch(&mut joined(3), &mut strands, &[1, 2, 5], 6_400);
        let of = |strand| taken.iter().filter(|taken| **taken == strand).count();
        assert_eq!([of(0), of(1), of(2)], [800, 1_600, 4_000]);
    }

    #[test]
    fn large_records_buy_no_more_than_small_ones() {
        let mut strands = vec![VecDeque::from(vec![64 * 1_024; 1_000]), VecDeque::from(vec![2_048; 32_000])];
        let taken = batch(&mut joined(2), &mut strands, &[1, 1], 3_300);
        let large = taken.iter().filter(|strand| **strand == 0).count() as i64;
        assert!((large - 100).abs() <= 1, "{large} of 64 KiB beside {} of 2 KiB", taken.len() as i64 - large);
    }

    proptest! {
        /// Whatever the strands hold: all is taken in the end, in each strand's order, and while two strands both have records
        /// their costs differ by at most a quantum and two of the dearest records.
        #[test]
        fn all_is_taken_and_shares_are_even(
            costs in proptest::collection::vec(proptest::collection::vec(1_024u64..80_000, 1..60), 1..8),
            room in 1usize..40,
        ) {
            let mut strands: Vec<VecDeque<u64>> = costs.iter().cloned().map(VecDeque::from).collect();
            let weights = vec![1; strands.len()];
            let mut share = joined(strands.len());
            let mut spent = vec![0u64; strands.len()];
            let mut batches = 0;
            while !share.is_empty() {
                let before = strands.clone();
                let taken = batch(&mut share, &mut strands, &weights, room);
                prop_assert!(taken.len() <= room);
                for (strand, before) in before.iter().enumerate() {
                    let left = strands[strand].len();
                    spent[strand] += before.iter().take(before.len() - left).sum::<u64>();
                }
                let alive: Vec<u64> = (0..strands.len()).filter(|at| !strands[*at].is_empty()).map(|at| spent[at]).collect();
                if let (Some(least), Some(most)) = (alive.iter().min(), alive.iter().max()) {
                    prop_assert!(most - least <= 2 * QUANTUM + 2 * 80_000, "{spent:?}");
                }
                batches += 1;
                prop_assert!(batches <= 1 + costs.iter().map(Vec::len).sum::<usize>());
            }
            prop_assert!(strands.iter().all(VecDeque::is_empty));
        }
    }
}
