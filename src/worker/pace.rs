//! How large a write may be. Invariant: a size that Postgres did not take in time is not tried again before smaller ones went
//! well, so a slow Postgres gets smaller batches and not the same one for ever.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Times in a row that a batch may be late before it is cut in halves: once is a hiccup.
pub const LATE_BEFORE_HALVING: u32 = 2;

/// The most events a write may have now; halves when one is late, doubles back as they go well.
#[derive(Debug)]
pub struct Pace {
    most: AtomicUsize,
    cap: usize,
}

impl Pace {
    /// Starts at `cap`, which it never passes.
    pub fn new(cap: usize) -> Self {
        Self { most: AtomicUsize::new(cap), cap }
    }

    /// Most events of the next write.
    pub fn events(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// A write of so many events was not done in time.
    pub fn late(&self, events: usize) {
        self.most.fetch_min((events / 2).max(1), Ordering::Relaxed);
    }

    /// A write of so many events went well; only a full one shows that more may go.
    pub fn done(&self, events: usize) {
        let grow = |most: usize| (events >= most && most < self.cap).then_some(most.saturating_mul(2).min(self.cap));
        // An error says that nothing is to be changed.
        let _unchanged = self.most.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_when_late_and_doubles_back_to_the_cap() {
        let pace = Pace::new(2_000);
        pace.late(2_000);
        pace.late(1_000);
        assert_eq!(pace.events(), 500);
        pace.late(2_000);
        assert_eq!(pace.events(), 500, "a larger one that was under way says nothing new");
        pace.done(10);
        assert_eq!(pace.events(), 500, "a small one says nothing of large ones");
        pace.done(500);
        pace.done(1_000);
        pace.done(2_000);
        assert_eq!(pace.events(), 2_000);
        pace.late(1);
        assert_eq!(pace.events(), 1);
    }
}
