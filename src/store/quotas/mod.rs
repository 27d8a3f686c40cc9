//! What accounts may do where it differs from the defaults. Invariant: a change, its version and its audit row are one transaction, and
//! versions become visible in their order, so whoever asks for what came after the last version seen misses nothing.

mod audit;
mod change;
mod document;
mod fairness;
mod read;
mod usage;

use std::time::Duration;

use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Connection};

use super::error::{Cause, ReadError};
use super::lease::{self, Lease};
use super::metrics;
use super::operator_store::{Author, operate};
use crate::config::{DatabaseConfig, Secret};
use crate::domain::id::AccountId;
use crate::domain::quota::StoredQuota;
use crate::domain::time::Timestamp;
use crate::domain::usage::Minute;

pub use audit::{AuditFilter, AuditRow};
pub use change::{MAX_OVERRIDES, MAX_QUOTAS, QuotaAct, QuotaChange, QuotaChanged};
pub use fairness::{AccountUse, Spikes};
pub use read::{Followed, OverrideRow};

/// Connections: one that follows, and one for whoever asks or changes something.
const CONNECTIONS: u32 = 2;

/// How long a look or a change may take, below the time in which changes must arrive everywhere.
const DEADLINE: Duration = Duration::from_secs(3);

/// Reads and changes quotas, by a pool of its own, so that no reader of events delays a change of a limit. Cheap to clone.
#[derive(Clone)]
pub struct QuotaStore {
    pool: PgPool,
    limit: Duration,
}

impl QuotaStore {
    /// Makes the pool; the first use connects. The worker's login may follow only.
    ///
    /// # Errors
    /// When the URL cannot be parsed.
    pub fn open(url: &Secret, config: &DatabaseConfig) -> Result<Self, Cause> {
        let limit = config.read_timeout().min(DEADLINE);
        Ok(Self { pool: lease::pool(url, "weir-quotas", CONNECTIONS, limit)?, limit })
    }

    /// The version of the last change of any account.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn version(&self) -> Result<i64, ReadError> {
        operate!(self, |tx| read::version(&mut tx))
    }

    /// Quotas changed after `version`, in the order of their changes, so many at most, without what ended before `now`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn changed_since(&self, version: i64, now: Timestamp, most: i64) -> Result<Vec<Followed>, ReadError> {
        operate!(self, |tx| read::changed_since(&mut tx, version, now, most))
    }

    /// What is stored for an account, without what ended before `now`; empty, at version 0, when nothing ever was.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn stored(&self, account: &AccountId, now: Timestamp) -> Result<StoredQuota, ReadError> {
        operate!(self, |tx| read::stored(&mut tx, account, now))
    }

    /// Overrides of an account, the latest made first, from below `before`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn overrides(
        &self,
        account: &AccountId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<OverrideRow>, ReadError> {
        operate!(self, |tx| read::overrides(&mut tx, account, before, limit))
    }

    /// Makes a change, if the account's quota stands as its author saw it.
    ///
    /// # Errors
    /// [`ReadError`]; nothing is changed then, unless the answer to the commit was lost.
    pub async fn change(
        &self,
        account: &AccountId,
        change: &QuotaChange,
        author: &Author,
    ) -> Result<QuotaChanged, ReadError> {
        operate!(self, |tx| change::apply(&mut tx, account, change, author))
    }

    /// What operators changed, the latest first, from below `before`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<AuditRow>, ReadError> {
        operate!(self, |tx| audit::page(&mut tx, filter, before, limit))
    }

    /// Writes minutes of use, each named once.
    ///
    /// # Errors
    /// [`ReadError`]; writing the same again is safe.
    pub async fn put_usage(&self, minutes: &[(AccountId, Minute)]) -> Result<(), ReadError> {
        operate!(self, |tx| usage::put(&mut tx, minutes))
    }

    /// Minutes of an account from `from` until before `to` (Unix seconds), the oldest first, so many at most.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn usage(&self, account: &AccountId, range: (i64, i64), most: i64) -> Result<Vec<Minute>, ReadError> {
        operate!(self, |tx| usage::between(&mut tx, account, range, most))
    }

    /// Events accepted of an account from `from` until before `to` (Unix seconds).
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn accepted(&self, account: &AccountId, range: (i64, i64)) -> Result<i64, ReadError> {
        operate!(self, |tx| usage::accepted(&mut tx, account, range))
    }

    /// What accounts used in a range of Unix seconds, the busiest first, with what they were entitled to: `limits` are events a minute where
    /// they differ from `default`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn used(
        &self,
        range: (i64, i64),
        default: i64,
        limits: &[(AccountId, i64)],
        most: i64,
    ) -> Result<Vec<AccountUse>, ReadError> {
        operate!(self, |tx| fairness::used(&mut tx, range, (default, limits), most))
    }

    /// Hours of a range of Unix seconds and the accounts that were over a limit in them, so many at most.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn spikes(&self, range: (i64, i64), most: i64) -> Result<Spikes, ReadError> {
        operate!(self, |tx| fairness::spikes(&mut tx, range, most))
    }

    /// Deletes minutes before `before` (Unix seconds), a few thousand at most; whether none is left.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn retire_usage(&self, before: i64) -> Result<bool, ReadError> {
        operate!(self, |tx| usage::retire(&mut tx, before))
    }

    /// Closes the connections; calls that still run end first.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
