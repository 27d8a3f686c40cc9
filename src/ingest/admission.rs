//! The count of how events end. Invariant: each admitted event is counted exactly once; one whose request is dropped in the
//! middle (the client hung up, our deadline passed) counts as failed with unknown outcome, because the log may have it.

use crate::domain::outcome::{Failure, Outcome};

use super::metrics;

/// Events of one request whose outcome is still open.
#[derive(Debug)]
pub(super) struct Admission {
    open: usize,
}

impl Admission {
    pub(super) fn of(events: usize) -> Self {
        Self { open: events }
    }

    /// One of them has ended.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        debug_assert!(self.open > 0, "an event ends once");
        self.open = self.open.saturating_sub(1);
        metrics::ended(outcome, 1);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.open > 0 {
            metrics::ended(Outcome::Failed(Failure::Unknown), self.open);
        }
    }
}
