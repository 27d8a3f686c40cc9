//! What accounts use on this instance, by second, until somebody takes it. Invariant: filing costs one short lock of the account alone, and
//! what nobody takes is bounded to [`MOST`] seconds an account.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::domain::id::AccountId;
use crate::domain::time::SECOND;
use crate::domain::usage::Use;

use super::account::Account;
use super::{Limiter, Shared};

/// Most seconds an account keeps; the oldest go first.
const MOST: usize = 600;

/// One account's use since it was last taken.
#[derive(Debug, Default)]
pub(super) struct Usage {
    seconds: Mutex<BTreeMap<i64, Use>>,
    listed: AtomicBool,
}

/// An account's use by Unix second.
pub type Used = (AccountId, BTreeMap<i64, Use>);

impl Shared {
    /// Files what an account used just now.
    pub(super) fn used(&self, account: &Arc<Account>, used: Use) {
        let second = self.now().div_euclid(SECOND);
        let mut seconds = account.usage.seconds.lock();
        seconds.entry(second).or_default().add(&used);
        if seconds.len() > MOST {
            seconds.pop_first();
        }
        drop(seconds);
        if !account.usage.listed.swap(true, Ordering::AcqRel) {
            self.using.lock().push(Arc::clone(account));
        }
    }
}

impl Limiter {
    /// Takes what was used since the last call.
    pub fn take_usage(&self) -> Vec<Used> {
        let using = std::mem::take(&mut *self.shared.using.lock());
        let take = |account: Arc<Account>| {
            // Before it is emptied: what is filed meanwhile lists the account again.
            account.usage.listed.store(false, Ordering::Release);
            (account.id.clone(), std::mem::take(&mut *account.usage.seconds.lock()))
        };
        using.into_iter().map(take).collect()
    }
}
