//! Records on their way to the log. Invariant: whatever becomes of the request, each of its records is counted as waiting for
//! Postgres unless the log certainly does not have it; a caller that hangs up hides no backlog.

use std::time::Instant;

use super::Lanes;
use crate::domain::id::AccountId;
use crate::domain::lane::Lane;
use crate::domain::receipt::Receipt;
use crate::domain::time::Timestamp;

/// See the module. Dropped before it ended, it leaves all its records counted.
pub struct Publishing {
    lanes: Lanes,
    account: AccountId,
    lane: Lane,
    /// Records counted as under way; `None` where the account is not counted, or no longer.
    under_way: Option<u64>,
}

impl Publishing {
    pub(super) fn new(lanes: Lanes, account: AccountId, under_way: Option<u64>, lane: Lane) -> Self {
        Self { lanes, account, lane, under_way }
    }

    /// The lane that the records take.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// The log has answered: it has the records of these receipts, and of so many more nobody knows.
    pub fn ended<'r>(mut self, receipts: impl Iterator<Item = &'r Receipt>, unknown: usize) {
        self.end(receipts, u64::try_from(unknown).unwrap_or(u64::MAX));
    }

    /// The records were not handed over.
    pub fn not_sent(self) {
        self.ended(std::iter::empty(), 0);
    }

    /// In one step, so that no record counts twice in between.
    fn end<'r>(&mut self, receipts: impl Iterator<Item = &'r Receipt>, unseen: u64) {
        let Some(under_way) = self.under_way.take() else { return };
        self.lanes.count(&self.account, |track| {
            track.under_way -= under_way;
            receipts.for_each(|receipt| track.backlog.add(receipt));
            if unseen > 0 {
                track.backlog.add_unseen(unseen, Timestamp::now(), Instant::now());
            }
        });
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.end(std::iter::empty(), self.under_way.unwrap_or(0));
    }
}
