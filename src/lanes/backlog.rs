//! How much of one account the log has and Postgres has not. Invariant: memory does not grow with the backlog, and the count
//! is never too small; it is too large by at most one chunk a partition, which is a thirtieth of what that partition holds, and
//! by what was published without an answer and is stored already.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::receipt::Receipt;
use crate::domain::time::Timestamp;

/// Most chunks of a partition, and most of records without a place.
const CHUNKS: usize = 64;

/// How long records without a place are counted at most: a topic that nobody reads any more must not hold an account for ever.
const UNSEEN_FOR: Duration = Duration::from_secs(300);

/// How far everything is stored.
#[derive(Debug, Clone, Default)]
pub struct StoredTo {
    next: HashMap<String, HashMap<i32, i64>>,
    whole: Option<Timestamp>,
}

impl StoredTo {
    /// Of that partition everything before `next_offset`, and everything received before `record_time`, is stored or set aside.
    pub fn add(&mut self, topic: String, partition: i32, next_offset: i64, record_time: Timestamp) {
        self.next.entry(topic).or_default().insert(partition, next_offset);
        self.whole = Some(self.whole.map_or(record_time, |whole| whole.min(record_time)));
    }

    fn next(&self, topic: &str, partition: i32) -> Option<i64> {
        self.next.get(topic)?.get(&partition).copied()
    }
}

/// Records up to an offset, counted together.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    last: i64,
    records: u64,
}

/// What the account has in one partition.
#[derive(Debug)]
struct Place {
    topic: Arc<str>,
    partition: i32,
    chunks: VecDeque<Chunk>,
    /// Records a chunk takes before the next one begins; doubles when there are too many chunks.
    grain: u64,
}

/// Records whose place nobody heard of: the caller went away, or no acknowledgement came.
#[derive(Debug, Clone, Copy)]
struct Unseen {
    until: Timestamp,
    since: Instant,
    records: u64,
}

/// Records of an account that were published and are not known to be stored.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// One a topic of the standard lane and up to four a topic of the bulk lane.
    places: Vec<Place>,
    unseen: VecDeque<Unseen>,
    records: u64,
}

impl Backlog {
    /// All records of all partitions.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// The log has one more.
    pub(super) fn add(&mut self, receipt: &Receipt) {
        let Receipt { topic, partition, offset } = receipt;
        self.records += 1;
        let known = self.places.iter().position(|place| place.partition == *partition && place.topic == *topic);
        let at = known.unwrap_or_else(|| {
            let (topic, partition) = (Arc::clone(topic), *partition);
            self.places.push(Place { topic, partition, chunks: VecDeque::new(), grain: 1 });
            self.places.len() - 1
        });
        self.places[at].add(*offset);
    }

    /// The log may have so many more, received before `until`.
    pub(super) fn add_unseen(&mut self, records: u64, until: Timestamp, since: Instant) {
        self.records += records;
        let full = self.unseen.len() >= CHUNKS;
        match self.unseen.back_mut().filter(|_| full) {
            Some(last) => *last = Unseen { until: until.max(last.until), since, records: last.records + records },
            None => self.unseen.push_back(Unseen { until, since, records }),
        }
    }

    /// Takes out what is stored.
    pub(super) fn settle(&mut self, stored: &StoredTo, now: Instant) {
        for place in &mut self.places {
            let Some(next) = stored.next(&place.topic, place.partition) else { continue };
            while let Some(chunk) = place.chunks.pop_front_if(|chunk| chunk.last < next) {
                self.records -= chunk.records;
            }
        }
        self.places.retain(|place| !place.chunks.is_empty());
        let known = |unseen: &mut Unseen| {
            stored.whole.is_some_and(|whole| whole > unseen.until)
                || now.saturating_duration_since(unseen.since) >= UNSEEN_FOR
        };
        while let Some(unseen) = self.unseen.pop_front_if(known) {
            self.records -= unseen.records;
        }
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

    fn receipt(offset: i64) -> Receipt {
        Receipt { topic: "t".into(), partition: 3, offset }
    }

    fn seconds(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).expect("time")
    }

    fn stored(topic: &str, next_offset: i64, record_time: i64) -> StoredTo {
        let mut stored = StoredTo::default();
        stored.add(topic.to_owned(), 3, next_offset, seconds(record_time));
        stored
    }

    proptest! {
        /// Against a plain list of offsets: never too few, at most a chunk too many, and none once all is settled.
        #[test]
        fn counts_what_is_not_stored(strides in proptest::collection::vec(1i64..4, 1..2_000), cuts in proptest::collection::vec(0usize..2_000, 0..20)) {
            let (mut backlog, now) = (Backlog::default(), Instant::now());
            let offsets: Vec<i64> = strides.iter().scan(0, |at, stride| { *at += stride; Some(*at) }).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < offsets.len()).collect();
            cuts.sort_unstable();
            let (mut next, mut settled) = (cuts.iter().copied().peekable(), 0);
            for (at, offset) in offsets.iter().enumerate() {
                backlog.add(&receipt(*offset));
                while let Some(cut) = next.next_if(|cut| *cut <= at) {
                    backlog.settle(&stored("t", offsets[cut], 1), now);
                    backlog.settle(&stored("t.bulk", i64::MAX, 1), now);
                    settled = cut;
                }
                let true_count = (at + 1 - settled) as u64;
                let grain = backlog.places.first().map_or(0, |place| place.grain);
                prop_assert!((true_count..=true_count + grain).contains(&backlog.records()));
                prop_assert!(backlog.places.iter().all(|place| place.chunks.len() <= CHUNKS));
            }
            backlog.settle(&stored("t", i64::MAX, 1), now);
            prop_assert_eq!((backlog.records(), backlog.places.len()), (0, 0));
        }
    }

    #[test]
    fn records_without_a_place_count_until_all_partitions_are_past_their_time() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        for at in 0..200 {
            backlog.add_unseen(2, seconds(100 + at), now);
        }
        assert_eq!((backlog.records(), backlog.unseen.len()), (400, CHUNKS));
        backlog.settle(&stored("t", 0, 110), now);
        assert_eq!(backlog.records(), 380);
        let mut behind = stored("t", 0, 10_000);
        behind.add("t".into(), 4, 0, seconds(110));
        backlog.settle(&behind, now);
        assert_eq!(backlog.records(), 380, "one partition is not past it");
        backlog.settle(&stored("t", 0, 10_000), now);
        assert_eq!(backlog.records(), 0);
        backlog.add_unseen(2, seconds(20_000), now);
        backlog.settle(&StoredTo::default(), now + UNSEEN_FOR);
        assert_eq!(backlog.records(), 0, "nor are they counted for ever");
    }
}
