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
    /// Whether the account is counted, and records counted as under way.
    counted: (bool, u64),
    /// Records of which nobody knows whether and where the log has them.
    unseen: u64,
}

impl Publishing {
    pub(super) fn new(lanes: Lanes, account: AccountId, counted: (bool, u64), lane: Lane) -> Self {
        Self { lanes, account, lane, counted, unseen: counted.1 }
    }

    /// The lane that the records take.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// The log has answered: it has the records of these receipts, and of so many more nobody knows.
    pub fn ended<'r>(mut self, receipts: impl Iterator<Item = &'r Receipt>, unknown: usize) {
        self.unseen = u64::try_from(unknown).unwrap_or(u64::MAX);
        if self.counted.0 {
            self.lanes.count(&self.account, |track| receipts.for_each(|receipt| track.backlog.add(receipt)));
        }
    }

    /// The records were not handed over.
    pub fn not_sent(self) {
        self.ended(std::iter::empty(), 0);
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        let (unseen, (true, under_way)) = (self.unseen, self.counted) else { return };
        self.lanes.count(&self.account, |track| {
            if unseen > 0 {
                track.backlog.add_unseen(unseen, Timestamp::now(), Instant::now());
            }
            track.under_way -= under_way;
        });
    }
}
