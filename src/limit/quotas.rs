//! The quotas every account is held to, as last heard from the store. Invariant: readers see one whole snapshot; without a store
//! the defaults hold.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::domain::id::AccountId;
use crate::domain::quota::{Mode, Quota, StoredQuota};
use crate::domain::time::Timestamp;

use super::plan::Plan;

/// Defaults and stored quotas. Whoever loads them calls [`Quotas::publish`]; the limiter looks at the revision.
#[derive(Debug)]
pub struct Quotas {
    default: Quota,
    stored: ArcSwap<HashMap<AccountId, StoredQuota>>,
    revision: AtomicU64,
}

impl Quotas {
    /// Defaults only, until something is published.
    pub fn new(default: Quota) -> Self {
        Self { default, stored: ArcSwap::from_pointee(HashMap::new()), revision: AtomicU64::new(0) }
    }

    /// The quota of an account for which nothing is stored.
    pub fn default_quota(&self) -> Quota {
        self.default
    }

    /// Replaces all stored quotas at once.
    pub fn publish(&self, stored: HashMap<AccountId, StoredQuota>) {
        self.stored.store(Arc::new(stored));
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// The quota of an account at `now`.
    pub fn effective(&self, account: &AccountId, now: Timestamp) -> Quota {
        self.stored.load().get(account).map_or(self.default, |stored| stored.effective(self.default, now))
    }

    /// Events a minute of accounts that do not have the default, `i64::MAX` where none is enforced; and the default.
    pub fn sustained(&self, now: Timestamp) -> (i64, Vec<(AccountId, i64)>) {
        let most = |quota: Quota| if quota.sustained.mode == Mode::Enforce { quota.sustained.limit } else { i64::MAX };
        let stored = self.stored.load();
        let own = stored.iter().map(|(account, stored)| (account.clone(), most(stored.effective(self.default, now))));
        (most(self.default), own.collect())
    }

    /// Changes whenever something was published.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// What the account is held to from `now` on.
    pub(super) fn plan(&self, account: &AccountId, now: Timestamp) -> Plan {
        let revision = self.revision();
        let stored = self.stored.load();
        let Some(entry) = stored.get(account) else {
            let never = now.saturating_add_micros(i64::MAX);
            return Plan { revision, ..Plan::new(account, self.default, never, now) };
        };
        let edges = entry.overrides.iter().flat_map(|change| [change.starts_at, change.ends_at]);
        let next = edges.filter(|edge| *edge > now).min().unwrap_or(now.saturating_add_micros(i64::MAX));
        Plan { revision, ..Plan::new(account, entry.effective(self.default, now), next, now) }
    }
}
