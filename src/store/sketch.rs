//! Sketches: how many users, and which are the most active, within a known error. Invariant: merging in any order gives the same
//! bound, and what cannot be read back is an error and never a wrong number.

use datasketches::common::NumStdDev;
use datasketches::error::Error;
use datasketches::frequencies::{ErrorType, FrequentItemsSketch};
use datasketches::hll::{HllSketch, HllType, HllUnion};

/// 4,096 registers: 2 KiB a sketch, and an error of 1.6 % (one standard deviation).
const LG_K: u8 = 12;

/// Slots of the most active users: an error of 0.17 % of the events of a bucket, and 30 KiB or so.
const TOP_SLOTS: usize = 2_048;

/// Distinct users of one bucket, name and channel.
pub(super) struct Users(HllSketch);

impl Users {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self(HllSketch::new(LG_K, HllType::Hll4)?))
    }

    pub(super) fn add(&mut self, user: &str) {
        self.0.update(user);
    }

    pub(super) fn write(&self) -> Vec<u8> {
        self.0.serialize()
    }
}

/// Distinct users of many of them.
pub(super) struct AllUsers(HllUnion);

impl AllUsers {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self(HllUnion::new(LG_K)?))
    }

    pub(super) fn merge(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.update(&HllSketch::deserialize(bytes)?);
        Ok(())
    }

    pub(super) fn add(&mut self, user: &str) {
        self.0.update_value(user);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.estimate().round() as u64
    }

    /// Half of the range that holds the truth 95 times in 100, as a part of the estimate.
    pub(super) fn relative_error(&self) -> f64 {
        let (low, high) = (self.0.lower_bound(NumStdDev::Two), self.0.upper_bound(NumStdDev::Two));
        let estimate = self.0.estimate();
        if estimate > 0.0 { (high - estimate).max(estimate - low) / estimate } else { 0.0 }
    }
}

/// The most active users of buckets.
pub(super) struct Top(FrequentItemsSketch<String>);

impl Top {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self(FrequentItemsSketch::new(TOP_SLOTS)?))
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        Ok(Self(FrequentItemsSketch::deserialize(bytes)?))
    }

    pub(super) fn write(&self) -> Vec<u8> {
        self.0.serialize()
    }

    pub(super) fn add(&mut self, user: &str, events: u64) {
        self.0.update_with_count_ref(user, events);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    /// The first `most`, most active first, with what was surely seen of each.
    pub(super) fn first(&self, most: usize) -> Vec<(String, u64)> {
        let rows = self.0.frequent_items(ErrorType::NoFalseNegatives);
        let mut rows: Vec<_> = rows.iter().map(|row| (row.item().clone(), row.estimate())).collect();
        rows.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        rows.truncate(most);
        rows
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.0.current_map_capacity() * 48 + self.0.num_active_items() * 32
    }

    /// Most events by which a number may be too high, or a user who is missing may have more than the last.
    pub(super) fn error(&self) -> u64 {
        self.0.maximum_error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole_within_the_stated_error() {
        let (mut all, mut top) = (AllUsers::new().expect("union"), Top::new().expect("top"));
        for part in 0..20_u32 {
            let (mut users, mut active) = (Users::new().expect("sketch"), Top::new().expect("top"));
            for n in 0..10_000 {
                let user = format!("u{}", (part * 5_000 + n) % 100_000);
                users.add(&user);
                active.add(&user, 1);
            }
            active.add("whale", 2_000);
            all.merge(&users.write()).expect("merge");
            top.merge(&Top::read(&active.write()).expect("read"));
        }
        let off = (all.count() as f64 - 100_000.0).abs() / 100_000.0;
        assert!(off <= all.relative_error() && all.relative_error() < 0.05, "{off} > {}", all.relative_error());
        let first = top.first(1);
        assert_eq!(first[0].0, "whale");
        assert!(first[0].1.abs_diff(40_000) <= top.error(), "{first:?} ± {}", top.error());
    }

    #[test]
    fn what_is_no_sketch_is_refused() {
        assert!(AllUsers::new().expect("union").merge(b"nonsense").is_err());
        assert!(Top::read(b"").is_err());
    }
}
