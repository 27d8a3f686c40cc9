//! The count of how events end. Invariant: each admitted event is counted exactly once; one whose request is dropped in the
//! middle (the client hung up, our deadline passed) counts as failed with unknown outcome, because the log may have it.

use crate::domain::id::AccountId;
use crate::domain::outcome::{Failure, Outcome};

use super::metrics;

/// Events of one request whose outcome is still open.
#[derive(Debug)]
pub(super) struct Admission<'a> {
    account: &'a AccountId,
    open: usize,
    ended: metrics::Tally,
}

impl<'a> Admission<'a> {
    pub(super) fn of(account: &'a AccountId, events: usize) -> Self {
        Self { account, open: events, ended: metrics::Tally::default() }
    }

    /// One of them has ended.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        debug_assert!(self.open > 0, "an event ends once");
        self.open = self.open.saturating_sub(1);
        self.ended.add(outcome, 1);
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.open > 0 {
            self.ended.add(Outcome::Failed(Failure::Unknown), self.open);
        }
        metrics::request_ended(self.account, &self.ended);
    }
}
