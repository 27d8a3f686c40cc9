//! How much of one account the log has and Postgres has not. Invariant: memory does not grow with the backlog, and the count
//! is never too small; it is too large by at most one chunk a partition, which is a thirtieth of what that partition holds.

use std::collections::VecDeque;

use crate::domain::lane::Lane;

/// Most chunks of a partition.
const CHUNKS: usize = 64;

/// Records up to an offset, counted together.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    last: i64,
    records: u64,
}

/// What the account has in one partition.
#[derive(Debug)]
struct Place {
    lane: Lane,
    partition: i32,
    chunks: VecDeque<Chunk>,
    /// Records a chunk takes before the next one begins; doubles when there are too many chunks.
    grain: u64,
}

/// Records of an account that were acknowledged and are not known to be stored.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// One in the standard lane and up to four in the bulk lane.
    places: Vec<Place>,
    records: u64,
}

impl Backlog {
    /// All records of all partitions.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// The log has one more.
    pub(super) fn add(&mut self, lane: Lane, partition: i32, offset: i64) {
        self.records += 1;
        let known = self.places.iter_mut().position(|place| place.lane == lane && place.partition == partition);
        let at = known.unwrap_or_else(|| {
            self.places.push(Place { lane, partition, chunks: VecDeque::new(), grain: 1 });
            self.places.len() - 1
        });
        self.places[at].add(offset);
    }

    /// Everything of that partition below `next_offset` is stored.
    pub(super) fn settle(&mut self, lane: Lane, partition: i32, next_offset: i64) {
        for place in self.places.iter_mut().filter(|place| place.lane == lane && place.partition == partition) {
            while let Some(chunk) = place.chunks.pop_front_if(|chunk| chunk.last < next_offset) {
                self.records -= chunk.records;
            }
        }
        self.places.retain(|place| !place.chunks.is_empty());
    }
}

impl Place {
    fn add(&mut self, offset: i64) {
        match self.chunks.back_mut() {
            Some(chunk) if chunk.records < self.grain => {
                chunk.records += 1;
                // Acknowledgements of two requests may come in any order.
                chunk.last = chunk.last.max(offset);
            }
            back => {
                let last = back.map_or(offset, |chunk| chunk.last.max(offset));
                self.chunks.push_back(Chunk { last, records: 1 });
            }
        }
        if self.chunks.len() > CHUNKS {
            self.coarsen();
        }
    }

    /// Makes one chunk of every two.
    fn coarsen(&mut self) {
        self.grain *= 2;
        let mut chunks = std::mem::take(&mut self.chunks).into_iter();
        while let Some(first) = chunks.next() {
            let second = chunks.next().unwrap_or(Chunk { last: first.last, records: 0 });
            self.chunks.push_back(Chunk { last: second.last, records: first.records + second.records });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain list of offsets: never too few, at most a chunk too many, and none once all is settled.
        #[test]
        fn counts_what_is_not_stored(strides in proptest::collection::vec(1i64..4, 1..2_000), cuts in proptest::collection::vec(0usize..2_000, 0..20)) {
            let offsets: Vec<i64> = strides.iter().scan(0, |at, stride| { *at += stride; Some(*at) }).collect();
            let mut backlog = Backlog::default();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < offsets.len()).collect();
            cuts.sort_unstable();
            let (mut next, mut settled) = (cuts.iter().copied().peekable(), 0);
            for (at, offset) in offsets.iter().enumerate() {
                backlog.add(Lane::Standard, 3, *offset);
                while let Some(cut) = next.next_if(|cut| *cut <= at) {
                    backlog.settle(Lane::Standard, 3, offsets[cut]);
                    backlog.settle(Lane::Bulk, 3, i64::MAX);
                    settled = cut;
                }
                let true_count = (at + 1 - settled) as u64;
                let grain = backlog.places.first().map_or(0, |place| place.grain);
                prop_assert!((true_count..=true_count + grain).contains(&backlog.records()));
                prop_assert!(backlog.places.iter().all(|place| place.chunks.len() <= CHUNKS));
            }
            backlog.settle(Lane::Standard, 3, i64::MAX);
            prop_assert_eq!((backlog.records(), backlog.places.len()), (0, 0));
        }
    }
}
