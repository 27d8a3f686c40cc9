//! The API's side of Postgres. Invariant: every query runs under row-level security with the caller's account set, so even a
//! query that forgot its WHERE would answer nothing of another account.

use std::time::Duration;

use sqlx::postgres::PgPool;

pub use super::read::events::{EventFilter, Position, StoredEvent};
pub use super::read::summary::{EventCount, SummaryRows, UserCount};

use super::error::{Cause, ReadError};
use super::lease::{self, Lease};
use super::{metrics, read};
use crate::config::DatabaseConfig;
use crate::domain::id::{AccountId, EventId};
use crate::domain::time::Timestamp;
use crate::domain::window::Window;

/// How long [`ApiStore::probe`] waits.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

/// Reads one account at a time as `weir_api`. Cheap to clone.
#[derive(Clone)]
pub struct ApiStore {
    pool: PgPool,
    limit: Duration,
}

/// Runs `$work` on the transaction `$tx` of one account, from the wait for a connection to the commit within the deadline.
/// A macro, because a future that borrows from its caller and from the transaction cannot be named as a closure's result.
macro_rules! read {
    ($store:expr, $account:expr, |$tx:ident| $work:expr) => {{
        let result = lease::within($store.limit, async {
            let mut lease = Lease::take(&$store.pool).await?;
            let answer = async {
                let mut $tx = read::begin(&mut lease, $account, $store.limit).await?;
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

impl ApiStore {
    /// Makes the pool; the first use connects.
    ///
    /// # Errors
    /// When `DATABASE_URL` is absent or cannot be parsed.
    pub fn open(config: &DatabaseConfig) -> Result<Self, Cause> {
        let url = config.database_url.as_ref().ok_or("DATABASE_URL must be set")?;
        let limit = config.read_timeout();
        Ok(Self { pool: lease::pool(url, "weir-api", config.db_api_connections, limit)?, limit })
    }

    /// The event of that id, if it is stored.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn event(&self, account: &AccountId, id: &EventId) -> Result<Option<StoredEvent>, ReadError> {
        read!(self, account, |tx| read::events::one(&mut tx, account, id))
    }

    /// How many of these ids, each named once, are stored.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn stored_among(&self, account: &AccountId, ids: &[EventId]) -> Result<usize, ReadError> {
        read!(self, account, |tx| read::events::among(&mut tx, account, ids))
    }

    /// Up to `limit` events, newest first, from just after `after`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn events_page(
        &self,
        account: &AccountId,
        filter: &EventFilter,
        after: Option<&Position>,
        limit: u16,
    ) -> Result<Vec<StoredEvent>, ReadError> {
        read!(self, account, |tx| read::events::page(&mut tx, account, filter, after, limit))
    }

    /// Counts by name and the `top` most active users of a window, with the time up to which they are complete.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn summary(&self, account: &AccountId, window: Window, top: u16) -> Result<SummaryRows, ReadError> {
        read!(self, account, |tx| read::summary::rows(&mut tx, account, window, top))
    }

    /// Everything received before this time is stored; `None` until a worker has noted progress.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn data_as_of(&self, account: &AccountId) -> Result<Option<Timestamp>, ReadError> {
        read!(self, account, |tx| read::summary::as_of(&mut tx))
    }

    /// Asks whether Postgres answers and has the tables of this version.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] when it does not answer, [`ReadError::Broken`] when the tables are not there.
    pub async fn probe(&self) -> Result<(), ReadError> {
        lease::within(PROBE_DEADLINE, async {
            let mut lease = Lease::take(&self.pool).await?;
            let seen = sqlx::query("SELECT FROM log_progress LIMIT 0").execute(&mut *lease).await;
            lease.settle(seen).map(drop)
        })
        .await
    }

    /// Closes the connections; calls that still run end first.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
