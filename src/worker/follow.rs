//! Who hears of new rows after their commit: live counters and sketches. Invariant: told only of what is committed, and never
//! waited for.

use std::sync::{Arc, OnceLock};

use super::keeper::Keeper;
use super::metrics;
use super::tally::Tally;
use crate::domain::event::Event;
use crate::domain::time::Timestamp;
use crate::store::Written;

/// The followers of one writer; the first of each kind stays.
#[derive(Default)]
pub struct Followers {
    tally: OnceLock<Arc<Tally>>,
    keeper: OnceLock<Arc<Keeper>>,
}

impl Followers {
    /// Counts what is stored from now on.
    pub fn count_into(&self, tally: Arc<Tally>) {
        self.tally.get_or_init(|| tally);
    }

    /// Sketches what is stored from now on.
    pub fn sketch_with(&self, keeper: Arc<Keeper>) {
        self.keeper.get_or_init(|| keeper);
    }

    /// A batch is committed.
    pub(super) fn stored(&self, events: &[Event<'_>], written: &Written) {
        let now = Timestamp::now();
        metrics::stored(events, written, now);
        if let Some(tally) = self.tally.get() {
            tally.add(events, written, now);
        }
        if let Some(keeper) = self.keeper.get() {
            keeper.add(events, written);
        }
    }
}
