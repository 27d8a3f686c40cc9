//! The API's side of Postgres. Invariant: every query of events or counts runs under row-level security with the caller's
//! account set, so even a query that forgot its WHERE would answer nothing of another account.

use std::time::Duration;

use sqlx::postgres::PgPool;

pub use super::read::events::{EventFilter, Position, StoredEvent};
pub use super::read::freshness::NextOffset;
pub use super::read::metrics::{Group, GroupBy, Measured, MetricsFilter, MetricsRows};
pub use super::read::minutes::MinuteCount;
pub use super::read::sketches::Approximation;
pub use super::read::summary::{Bounds, EventCount, SummaryRows, UserCount};
pub use super::read::trace::{DeadRow, TraceRows};

use super::error::{Cause, ReadError};
use super::lease::{self, Lease};
use super::replica::{Database, Databases};
use super::{metrics, partitions, read};
use crate::config::DatabaseConfig;
use crate::domain::id::{AccountId, EventId};
use crate::domain::partitioner::Topics;
use crate::domain::receipt::Receipt;
use crate::domain::routes::Names;
use crate::domain::time::Timestamp;
use crate::domain::window::Window;

/// How long [`ApiStore::probe`] waits.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

/// Reads one account at a time as `weir_api`. Cheap to clone.
#[derive(Clone)]
pub struct ApiStore {
    databases: Databases,
    /// Of its own, so that slow reads of tenants cannot make Postgres look away.
    probe: PgPool,
    limit: Duration,
    topics: Option<Topics>,
    tops: read::tops::Tops,
}

/// What a read saw, and of which time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<T> {
    /// The answer.
    pub value: T,
    /// Everything the account's partitions received before this time is in the answer, as far as the database that answered
    /// knows; `None` until a worker has noted progress.
    pub data_as_of: Option<Timestamp>,
    /// Whether a replica answered.
    pub replica: bool,
}

/// Runs `$work` on the transaction `$tx` of one account, from the wait for a connection to the commit within the deadline, and
/// once more on the primary when the replica is away. A macro, because a future that borrows from its caller and from the
/// transaction cannot be named as a closure's result.
macro_rules! read {
    ($store:expr, $account:expr, $database:expr, |$tx:ident| $work:expr) => {{
        let mut asked = $database;
        let result = loop {
            let database = $store.databases.choose(asked);
            // In a box: the future of every request that may ask would hold room for this one, up to 18 KB that are moved about even
            // where a cache answers.
            let result = Box::pin(lease::within($store.limit, async {
                let mut lease = Lease::take(database.pool).await?;
                let answer = async {
                    let mut $tx = read::begin(&mut lease, $account, $store.limit).await?;
                    let data_as_of = read::freshness::as_of(&mut $tx, $account, $store.topics.as_ref()).await?;
                    let value = $work.await?;
                    $tx.commit().await?;
                    Ok(Seen { value, data_as_of, replica: database.is_replica() })
                }
                .await;
                lease.settle(answer)
            }))
            .await;
            match result {
                Err(error) if database.is_replica() && ReadError::is_absence(&error) => {
                    database.failed();
                    asked = Database::Primary;
                }
                result => break result,
            }
        };
        result.inspect_err(metrics::read_failed)
    }};
}

impl ApiStore {
    /// Makes the pools; the first use connects.
    ///
    /// # Errors
    /// When `DATABASE_URL` is absent, or it or `DATABASE_READ_URL` cannot be parsed.
    pub fn open(config: &DatabaseConfig) -> Result<Self, Cause> {
        let url = config.database_url.as_ref().ok_or("DATABASE_URL must be set")?;
        let limit = config.read_timeout();
        let mut databases = Databases::new(lease::pool(url, "weir-api", config.db_api_connections, limit)?);
        if let Some(url) = &config.database_read_url {
            databases = databases.with_replica(url, config.db_api_connections)?;
        }
        let probe = lease::pool(url, "weir-api-probe", 1, PROBE_DEADLINE)?;
        Ok(Self { databases, probe, limit, topics: None, tops: read::tops::Tops::new() })
    }

    /// The same store, which knows where the log puts an account: `data_as_of` then looks at the account's own partitions
    /// instead of all.
    #[must_use]
    pub fn with_topics(self, topics: Topics) -> Self {
        Self { topics: Some(topics), ..self }
    }

    /// The event of that id, if it is stored.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn event(
        &self,
        account: &AccountId,
        id: &EventId,
        database: Database,
    ) -> Result<Seen<Option<StoredEvent>>, ReadError> {
        read!(self, account, database, |tx| read::events::one(&mut tx, account, id))
    }

    /// How many of these ids, each named once, are stored.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn stored_among(&self, account: &AccountId, ids: &[EventId]) -> Result<usize, ReadError> {
        Ok(read!(self, account, Database::Primary, |tx| read::events::among(&mut tx, account, ids))?.value)
    }

    /// Up to `limit` events, newest first, from just after `after`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn events_page(
        &self,
        account: &AccountId,
        filter: &EventFilter,
        limit: u16,
        database: Database,
    ) -> Result<Seen<Vec<StoredEvent>>, ReadError> {
        read!(self, account, database, |tx| read::events::page(&mut tx, account, filter, limit))
    }

    /// Up to `limit` events of some names, newest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn latest(
        &self,
        account: &AccountId,
        names: &Names,
        limit: u16,
        database: Database,
    ) -> Result<Seen<Vec<StoredEvent>>, ReadError> {
        read!(self, account, database, |tx| read::events::latest(&mut tx, account, names, limit))
    }

    /// Counts by name and the most active users of a window.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn summary(
        &self,
        account: &AccountId,
        window: Window,
        bounds: Bounds,
        database: Database,
    ) -> Result<Seen<SummaryRows>, ReadError> {
        read!(self, account, database, |tx| read::summary::rows(&mut tx, &self.tops, account, window, bounds))
    }

    /// Events, values and users of one name. Users are counted while the window holds at most `exact` events, and
    /// estimated above.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn metrics(
        &self,
        account: &AccountId,
        filter: &MetricsFilter,
        exact: u64,
        database: Database,
    ) -> Result<Seen<MetricsRows>, ReadError> {
        read!(self, account, database, |tx| read::metrics::rows(&mut tx, account, filter, exact))
    }

    /// What became of one event, by its id and, when it is known, its place in the log.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn trace(
        &self,
        account: &AccountId,
        id: &EventId,
        receipt: Option<&Receipt>,
        database: Database,
    ) -> Result<Seen<TraceRows>, ReadError> {
        read!(self, account, database, |tx| read::trace::rows(&mut tx, account, id, receipt))
    }

    /// Events by minute since the epoch and by name, from minute `first` until before minute `end`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn minutes(
        &self,
        account: &AccountId,
        first: i64,
        end: i64,
        database: Database,
    ) -> Result<Seen<Vec<MinuteCount>>, ReadError> {
        read!(self, account, database, |tx| read::minutes::rows(&mut tx, account, first, end))
    }

    /// Whether that topic carries events, as far as is known.
    pub fn carries(&self, topic: &str) -> bool {
        self.topics.as_ref().is_some_and(|topics| topics.carries(topic))
    }

    /// How far each partition of the log is settled, as the primary knows it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn next_offsets(&self) -> Result<Vec<NextOffset>, ReadError> {
        Box::pin(lease::within(self.limit, async {
            let mut lease = Lease::take(self.databases.primary()).await?;
            let seen = read::freshness::next_offsets(&mut lease).await;
            lease.settle(seen)
        }))
        .await
        .inspect_err(metrics::read_failed)
    }

    /// Tells the gauges what each partition costs.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn sample_partitions(&self) -> Result<(), ReadError> {
        lease::within(self.limit, async {
            let mut lease = Lease::take(self.databases.primary()).await?;
            let sampled = partitions::sample(&mut lease).await;
            lease.settle(sampled)
        })
        .await
    }

    /// Asks whether Postgres answers and has the tables of this version.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] when it does not answer, [`ReadError::Broken`] when the tables are not there.
    pub async fn probe(&self) -> Result<(), ReadError> {
        lease::within(PROBE_DEADLINE, async {
            let mut lease = Lease::take(&self.probe).await?;
            let seen = sqlx::query("SELECT FROM log_progress LIMIT 0").execute(&mut *lease).await;
            lease.settle(seen).map(drop)
        })
        .await
    }

    /// Connections to the primary and their deadline, for another store of the same login.
    pub(super) fn primary(&self) -> (sqlx::PgPool, Duration) {
        (self.databases.primary().clone(), self.limit)
    }

    /// Closes the connections; calls that still run end first.
    pub async fn close(&self) {
        self.databases.close().await;
        self.probe.close().await;
    }
}
