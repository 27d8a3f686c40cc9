//! The accounts this instance has heard of. Invariant: an idle account is dropped, and never while anybody holds it.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;

use crate::domain::id::AccountId;
use crate::domain::time::SECOND;

use super::account::Account;

const SHARDS: usize = 32;

/// An account not asked for this long is dropped; its windows have passed by then.
const IDLE: i64 = 120 * SECOND;

/// Accounts by id.
#[derive(Debug)]
pub(super) struct Accounts {
    shards: Vec<RwLock<HashMap<AccountId, Arc<Account>>>>,
    hasher: RandomState,
}

impl Accounts {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), hasher: RandomState::new() }
    }

    pub(super) fn get(&self, id: &AccountId, make: impl FnOnce() -> Account) -> Arc<Account> {
        let shard = &self.shards[usize::try_from(self.hasher.hash_one(id)).unwrap_or(usize::MAX) % SHARDS];
        if let Some(account) = shard.read().get(id) {
            return Arc::clone(account);
        }
        Arc::clone(shard.write().entry(id.clone()).or_insert_with(|| Arc::new(make())))
    }

    /// Drops idle accounts and answers how many are left.
    pub(super) fn drop_idle(&self, now: i64) -> usize {
        let kept = self.shards.iter().map(|shard| {
            let mut accounts = shard.write();
            accounts.retain(|_, account| {
                Arc::strong_count(account) > 1 || now - account.seen.load(Ordering::Relaxed) < IDLE
            });
            accounts.len()
        });
        kept.sum()
    }
}
