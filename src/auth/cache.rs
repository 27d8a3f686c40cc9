//! Verdicts kept, so that a token costs its signature once a minute and not once a request. Invariant: a tenant is never served
//! past its token's `exp`, past a minute, or past the key set that judged it; a forged token can only push out other forged ones.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use moka::sync::Cache;

use crate::domain::tenant::Tenant;
use crate::domain::time::{SECOND, Timestamp};

use super::metrics;

/// Longest life of a tenant.
const TENANT_SECONDS: u64 = 60;

/// Longest life of a forged token's entry.
const FORGED_SECONDS: u64 = 10;

/// Most forged tokens kept.
const FORGED_SIZE: u64 = 10_000;

/// SHA-256 of a token: the cache holds no token that could be stolen from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

/// What is known of a token.
pub(super) enum Entry {
    /// Verified.
    Tenant(Arc<Tenant>),
    /// Its signature is wrong.
    Forged,
}

/// A verdict with what ends it.
#[derive(Clone)]
struct Kept<T> {
    verdict: T,
    generation: u64,
    until: Timestamp,
}

/// Verdicts by token.
pub(super) struct TokenCache {
    tenants: Cache<Fingerprint, Kept<Arc<Tenant>>>,
    forged: Cache<Fingerprint, Kept<()>>,
}

impl Fingerprint {
    /// The hash of a token.
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }
}

impl<T> Kept<T> {
    fn holds(&self, generation: u64, now: Timestamp) -> bool {
        self.generation == generation && now < self.until
    }
}

impl TokenCache {
    /// A cache of at most `size` tenants.
    pub(super) fn new(size: u64) -> Self {
        // moka's own clock is monotonic: it also ends what a wall clock set back would keep.
        let life = Duration::from_secs;
        Self {
            tenants: Cache::builder().max_capacity(size).time_to_live(life(TENANT_SECONDS)).build(),
            forged: Cache::builder().max_capacity(FORGED_SIZE).time_to_live(life(FORGED_SECONDS)).build(),
        }
    }

    /// What is known of a token under this key set.
    pub(super) fn get(&self, token: &Fingerprint, generation: u64, now: Timestamp) -> Option<Entry> {
        if let Some(kept) = self.tenants.get(token).filter(|kept| kept.holds(generation, now)) {
            metrics::cache_hit();
            return Some(Entry::Tenant(kept.verdict));
        }
        if self.forged.get(token).is_some_and(|kept| kept.holds(generation, now)) {
            metrics::cache_forged();
            return Some(Entry::Forged);
        }
        metrics::cache_miss();
        None
    }

    /// Keeps a tenant until its token ends; not at all when only the leeway still carries it.
    pub(super) fn put_tenant(&self, token: Fingerprint, generation: u64, tenant: &Arc<Tenant>, now: Timestamp) {
        let until = tenant.expires_at.min(after(now, TENANT_SECONDS));
        if now < until {
            self.tenants.insert(token, Kept { verdict: Arc::clone(tenant), generation, until });
        }
    }

    /// Keeps the fact that no key of ours made this signature.
    pub(super) fn put_forged(&self, token: Fingerprint, generation: u64, now: Timestamp) {
        self.forged.insert(token, Kept { verdict: (), generation, until: after(now, FORGED_SECONDS) });
    }
}

fn after(now: Timestamp, seconds: u64) -> Timestamp {
    now.saturating_add_micros(i64::try_from(seconds).unwrap_or(0) * SECOND)
}
