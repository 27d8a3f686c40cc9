//! Levels of service at rest. Invariant: sums of a flush are added once, whatever becomes of the answer, and a read sees every
//! account only where it says so.

mod incidents;
mod read;
mod write;

use std::time::Duration;

use sqlx::postgres::PgPool;

use super::error::{Cause, ReadError, WriteError};
use super::lease::{self, Lease};
use super::metrics;
use crate::config::{DatabaseConfig, Secret};
use crate::domain::id::AccountId;
use crate::domain::incident::Incident;
use crate::domain::sli::Sample;
use crate::telemetry::sli::Sums;

/// Connections: one that writes, one that reads, and one for whoever changes an incident.
const CONNECTIONS: u32 = 3;

/// How long a flush may take: its rows are written in milliseconds, but another instance may hold one of them.
const FLUSH_DEADLINE: Duration = Duration::from_secs(30);

/// How long a question of a report may take at least; shorter than the answer's own deadline.
const REPORT_DEADLINE: Duration = Duration::from_secs(10);

/// Whose sums a report is about.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// Everybody's, by minute.
    Everybody,
    /// One account's, by hour.
    Account(&'a AccountId),
}

/// Sums of one operation over one stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Unix seconds of its beginning.
    pub at: i64,
    /// Operation id, or the pseudo operation of visibility.
    pub operation: String,
    /// What was counted.
    pub sample: Sample,
}

/// Sums of one account over a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSums {
    /// The account.
    pub account_id: String,
    /// Good answers.
    pub good: u64,
    /// Bad answers.
    pub bad: u64,
    /// Its own mistakes.
    pub client: u64,
}

/// Answers of an account in hours in which it was within its limits itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The account.
    pub account_id: String,
    /// Whether another was over a limit in those hours.
    pub spiking: bool,
    /// What was counted.
    pub sample: Sample,
}

/// One flush: what was recorded since the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flush {
    /// The process.
    pub instance: String,
    /// Its number, one more than that of the flush before.
    pub seq: i64,
    /// The sums.
    pub sums: Sums,
    /// Minutes (Unix seconds) in which the process served tenants.
    pub alive: Vec<i64>,
    /// Sums older than this (Unix seconds) go, a bounded number with each flush that says so.
    pub keep_from: Option<i64>,
}

/// Reads and writes levels of service and incidents. Cheap to clone.
#[derive(Clone)]
pub struct SliStore {
    pool: PgPool,
    limit: Duration,
}

/// Runs `$work` in the transaction `$tx` that begins with `$opening`, within the store's deadline.
macro_rules! read {
    ($store:expr, $opening:expr, |$tx:ident| $work:expr) => {{
        let result = lease::within($store.limit, async {
            let mut lease = Lease::take(&$store.pool).await?;
            let answer = async {
                let mut $tx = read::begin(&mut lease, $opening, $store.limit).await?;
                let answer = $work.await?;
                $tx.commit().await?;
                Ok(answer)
            }
            .await;
            lease.settle(answer)
        })
        .await;
        result.inspect_err(metrics::read_failed)
    }};
}

impl SliStore {
    /// Makes the pool; the first use connects. Either login will do.
    ///
    /// # Errors
    /// When the URL cannot be parsed.
    pub fn open(url: &Secret, config: &DatabaseConfig) -> Result<Self, Cause> {
        let limit = config.read_timeout().max(REPORT_DEADLINE);
        Ok(Self { pool: lease::pool(url, "weir-sli", CONNECTIONS, limit)?, limit })
    }

    /// Adds a flush; `false` when it had been added before and only its answer was lost.
    ///
    /// # Errors
    /// [`WriteError`]; adding the very same flush again is safe.
    pub async fn flush(&self, flush: &Flush) -> Result<bool, WriteError> {
        lease::within(FLUSH_DEADLINE, async {
            let mut lease = Lease::take(&self.pool).await?;
            let added = write::flush(&mut lease, flush).await;
            lease.settle(added)
        })
        .await
    }

    /// Sums from `from` until before `to` (Unix seconds) in stretches of `step` seconds.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn stretches(
        &self,
        whose: Whose<'_>,
        (from, to): (i64, i64),
        step: i64,
    ) -> Result<Vec<Stretch>, ReadError> {
        read!(self, whose, |tx| read::stretches(&mut tx, whose, (from, to), step))
    }

    /// Minutes from `from` until before `to` in which no instance served, between the first and the last that one did.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn silent_minutes(&self, from: i64, to: i64) -> Result<Vec<i64>, ReadError> {
        read!(self, Whose::Everybody, |tx| read::silent_minutes(&mut tx, from, to))
    }

    /// The accounts with most bad answers, then most of all, between two times.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn accounts(&self, from: i64, to: i64, limit: i64) -> Result<Vec<AccountSums>, ReadError> {
        read!(self, Whose::Everybody, |tx| read::accounts(&mut tx, from, to, limit))
    }

    /// Answers of these operations by account in a range of Unix seconds, apart by whether another account was over a limit in the same
    /// hour; hours in which the account itself was are left out.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn beside(
        &self,
        range: (i64, i64),
        operations: &[&str],
        spikes: &[(i64, String)],
        most: i64,
    ) -> Result<Vec<Beside>, ReadError> {
        read!(self, Whose::Everybody, |tx| read::beside(&mut tx, range, (operations, spikes), most))
    }

    /// Incidents that touch a range, the oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn incidents(&self, from: i64, to: i64) -> Result<Vec<Incident>, ReadError> {
        read!(self, Whose::Everybody, |tx| incidents::between(&mut tx, from, to))
    }

    /// The incident of that id.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn incident(&self, id: &str) -> Result<Option<Incident>, ReadError> {
        read!(self, Whose::Everybody, |tx| incidents::one(&mut tx, id))
    }

    /// Writes an incident where the stored version is `replaces` (0: there is none); the stored one, or `None` when somebody
    /// else was quicker.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn put_incident(
        &self,
        incident: &Incident,
        replaces: i64,
        actor: &str,
    ) -> Result<Option<Incident>, WriteError> {
        lease::within(self.limit, async {
            let mut lease = Lease::take(&self.pool).await?;
            let put = incidents::put(&mut lease, incident, replaces, actor).await;
            lease.settle(put)
        })
        .await
    }

    /// Closes the connections; calls that still run end first.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
