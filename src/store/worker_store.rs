//! The worker's side of Postgres. Invariant: a batch is written whole or not at all, and writing it again changes nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::PgPool;

use super::error::{Cause, WriteError};
use super::fail_point::FailPoint;
use super::lease::{self, Lease};
pub use super::write::{Bucket, SetAside};
use super::write::{Caution, Retired};
use super::{metrics, write};
use crate::config::{DatabaseConfig, WorkerConfig};
use crate::domain::event::Event;
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;

/// How long [`WorkerStore::probe`] waits.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

/// How long a look at all counts or the build of one bucket may take; nobody waits for it.
const BUILD_DEADLINE: Duration = Duration::from_secs(60);

/// Most buckets of one look at all counts.
const MAX_STALE: i64 = 10_000;

/// How far one partition of the log is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Kafka topic.
    pub topic: Arc<str>,
    /// Partition within the topic.
    pub partition: i32,
    /// First offset that may not be settled.
    pub next_offset: i64,
    /// Everything the partition received before this time is settled. After a batch: the log's time of its last record. For a
    /// partition with nothing left to read: see [`WorkerStore::touch_progress`].
    pub record_time: Timestamp,
}

/// What a write changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Rows that are new.
    pub inserted: usize,
    /// Events that were already there, or stood twice in the batch.
    pub duplicates: usize,
    /// For each event of the batch, in its order, whether its row is new.
    pub new: Vec<bool>,
}

/// Where a batch comes to rest. A trait, because the worker's tests need failures that Postgres does not give on demand.
pub trait EventSink: Send + Sync {
    /// Writes the events that are not there yet, counts exactly those, and notes the progress, in one transaction.
    ///
    /// # Errors
    /// [`WriteError`] says whether to try again, to bisect or to pause.
    fn write<'a>(
        &'a self,
        batch: &'a [Event<'a>],
        progress: &'a [Progress],
    ) -> BoxFuture<'a, Result<Written, WriteError>>;

    /// Says that batches to come may hold events that are stored already: partitions were assigned, and what their last owner wrote
    /// and did not settle is read again. Only the cost of writes depends on it.
    fn expect_repeats(&self);

    /// Indexes records whose dead letters are acknowledged; those that are indexed already stay as they are.
    ///
    /// # Errors
    /// As [`EventSink::write`].
    fn index<'a>(&'a self, letters: &'a [SetAside]) -> BoxFuture<'a, Result<(), WriteError>>;
}

/// Writes batches as `weir_worker`. Cheap to clone.
#[derive(Clone)]
pub struct WorkerStore {
    pool: PgPool,
    limit: Duration,
    caution: Arc<Caution>,
    fail_point: Option<Arc<FailPoint>>,
}

impl WorkerStore {
    /// Makes the pool; the first use connects. One connection a concurrent write, one for progress and
    /// probes, and one for sketches.
    ///
    /// # Errors
    /// When `DATABASE_WORKER_URL` is absent or cannot be parsed.
    pub fn open(database: &DatabaseConfig, worker: &WorkerConfig) -> Result<Self, Cause> {
        let url = database.database_worker_url.as_ref().ok_or("DATABASE_WORKER_URL must be set")?;
        let connections = u32::try_from(worker.worker_concurrency)?.saturating_add(2);
        let limit = database.write_timeout();
        let pool = lease::pool(url, "weir-worker", connections, limit)?;
        let fail_point = worker.fail_point.as_deref().map(FailPoint::parse).transpose()?.map(Arc::new);
        Ok(Self { pool, limit, caution: Arc::default(), fail_point })
    }

    /// Notes progress without events: for partitions that have nothing left to read, so that a quiet partition does not hold
    /// `data_as_of` back, and for dead letters that closed a gap.
    ///
    /// `record_time` of a quiet partition must be a clock reading taken *before* asking for the end of the partition, with every
    /// record up to that end settled: whatever arrived before the reading was then already counted in that end. A reading
    /// taken afterwards would vouch for records nobody has seen.
    ///
    /// # Errors
    /// As [`EventSink::write`].
    pub async fn touch_progress(&self, progress: &[Progress]) -> Result<(), WriteError> {
        lease::within(self.limit, async {
            let mut lease = Lease::take(&self.pool).await?;
            let noted = write::progress(&mut lease, progress).await;
            lease.settle(noted)
        })
        .await
    }

    /// Buckets among `asked` that hold at least `least` events and whose sketches have not seen exactly those.
    ///
    /// # Errors
    /// As [`EventSink::write`].
    pub async fn stale_among(&self, asked: &[Bucket], least: i64) -> Result<Vec<Bucket>, WriteError> {
        lease::within(self.limit, async {
            let mut lease = Lease::take(&self.pool).await?;
            let found = write::stale_of(&mut lease, asked, least).await;
            lease.settle(found)
        })
        .await
    }

    /// Such buckets among all that are kept, the newest [`MAX_STALE`]; reads all counts.
    ///
    /// # Errors
    /// As [`EventSink::write`].
    pub async fn stale_buckets(&self, least: i64) -> Result<Vec<Bucket>, WriteError> {
        lease::within(BUILD_DEADLINE, async {
            let mut lease = Lease::take(&self.pool).await?;
            let found = write::stale(&mut lease, least, MAX_STALE).await;
            lease.settle(found)
        })
        .await
    }

    /// Builds the sketches of a bucket anew from its events.
    ///
    /// # Errors
    /// As [`EventSink::write`].
    pub async fn build_sketches(&self, bucket: &Bucket) -> Result<(), WriteError> {
        lease::within(BUILD_DEADLINE, async {
            let mut lease = Lease::take(&self.pool).await?;
            let built = write::build(&mut lease, bucket).await;
            lease.settle(built)
        })
        .await
    }

    /// One step of clearing away the events before `before`, which must be a whole bucket: see [`Retired`] for how to go on. The
    /// first step, with `after` `None`, moves the beginning of history there.
    ///
    /// # Errors
    /// As [`EventSink::write`]; the next round does what this one did not.
    pub async fn retire(&self, before: Timestamp, after: Option<&AccountId>) -> Result<Retired, WriteError> {
        lease::within(self.limit, async {
            let mut lease = Lease::take(&self.pool).await?;
            let retired = write::retire(&mut lease, self.limit, before, after).await;
            lease.settle(retired)
        })
        .await
    }

    /// Asks whether Postgres answers and has the tables of this version.
    ///
    /// # Errors
    /// [`WriteError::Transient`] when it does not answer, [`WriteError::Schema`] when the tables are not there.
    pub async fn probe(&self) -> Result<(), WriteError> {
        lease::within(PROBE_DEADLINE, async {
            let mut lease = Lease::take(&self.pool).await?;
            let seen = sqlx::query("SELECT FROM events, event_counts, log_progress LIMIT 0").execute(&mut *lease).await;
            lease.settle(seen).map(drop)
        })
        .await
    }

    /// Closes the connections; calls that still run end first.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl EventSink for WorkerStore {
    fn write<'a>(
        &'a self,
        batch: &'a [Event<'a>],
        progress: &'a [Progress],
    ) -> BoxFuture<'a, Result<Written, WriteError>> {
        Box::pin(async move {
            let timer = metrics::write_started();
            let fail_point = self.fail_point.as_deref();
            let result = lease::within(self.limit, async {
                let mut lease = Lease::take(&self.pool).await?;
                let work = (batch, progress);
                let written = write::batch(&mut lease, self.limit, work, &self.caution, fail_point).await;
                lease.settle(written)
            })
            .await;
            metrics::write_ended(timer, &result);
            result
        })
    }

    fn expect_repeats(&self) {
        self.caution.expect_repeats();
    }

    fn index<'a>(&'a self, letters: &'a [SetAside]) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(lease::within(self.limit, async {
            let mut lease = Lease::take(&self.pool).await?;
            let indexed = write::index(&mut lease, letters).await;
            lease.settle(indexed)
        }))
    }
}
