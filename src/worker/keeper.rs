//! Keeps the sketches of big buckets up to date. Invariant: a bucket is built from the events themselves, so whatever this worker
//! missed, another worker did, or a crash lost is right with its next build; and building costs Postgres at most a fiftieth of
//! one connection's time for each bucket.
//!
//! A bucket that got new rows is looked at once its last build is old enough; buckets nobody told about are found by a look at
//! all counts, at the start and every hour.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::metrics;
use crate::domain::event::Event;
use crate::domain::window::bucket_of;
use crate::store::{Bucket, WorkerStore, Written};

/// Distance between looks at the buckets with new rows.
const EVERY: Duration = Duration::from_secs(1);

/// Distance between looks at all counts.
const SEARCH_EVERY: Duration = Duration::from_secs(3_600);

/// Shortest pause between two builds of a bucket.
const MIN_PAUSE: Duration = Duration::from_secs(5);

/// The pause is this many times what the last build cost.
const PAUSE_PER_COST: u32 = 50;

/// Most buckets that are remembered; those beyond are found by the next search.
const MAX_BUCKETS: usize = 20_000;

/// Most buckets of one round.
const ROUND: usize = 200;

struct Standing {
    touched: bool,
    next: Instant,
}

/// Builds sketches beside the writes of one worker.
pub struct Keeper {
    store: WorkerStore,
    least: i64,
    buckets: Mutex<HashMap<Bucket, Standing>>,
}

impl Keeper {
    /// Sketches buckets of at least `least` events.
    pub fn new(store: WorkerStore, least: u32) -> Self {
        Self { store, least: i64::from(least), buckets: Mutex::default() }
    }

    /// Takes note of the new events of a committed batch.
    pub fn add(&self, events: &[Event<'_>], written: &Written) {
        let mut buckets = self.buckets.lock();
        for (event, _) in events.iter().zip(&written.new).filter(|(_, new)| **new) {
            let bucket = Bucket { account: event.account_id.clone(), start: bucket_of(event.timestamp) };
            if let Some(standing) = buckets.get_mut(&bucket) {
                standing.touched = true;
            } else if buckets.len() < MAX_BUCKETS {
                buckets.insert(bucket, Standing { touched: true, next: Instant::now() + MIN_PAUSE });
            }
        }
    }

    /// Builds until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut searched = None::<Instant>;
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            let due = searched.is_none_or(|searched| searched.elapsed() > SEARCH_EVERY);
            let round = async { if due { self.search().await } else { self.round().await } };
            match stop.run_until_cancelled(round).await {
                Some(Ok(())) if due => searched = Some(Instant::now()),
                Some(Ok(())) | None => {}
                Some(Err(error)) => tracing::debug!(%error, "sketches are not built; it is tried again"),
            }
        }
    }

    async fn search(&self) -> Result<(), crate::store::WriteError> {
        for bucket in self.store.stale_buckets(self.least).await? {
            self.build(bucket).await?;
        }
        Ok(())
    }

    async fn round(&self) -> Result<(), crate::store::WriteError> {
        let due = self.take_due(Instant::now());
        if due.is_empty() {
            return Ok(());
        }
        for bucket in self.store.stale_among(&due, self.least).await? {
            self.build(bucket).await?;
        }
        Ok(())
    }

    async fn build(&self, bucket: Bucket) -> Result<(), crate::store::WriteError> {
        let begun = Instant::now();
        self.store.build_sketches(&bucket).await?;
        let cost = begun.elapsed();
        metrics::sketched(cost);
        let next = Instant::now() + (cost * PAUSE_PER_COST).max(MIN_PAUSE);
        self.buckets.lock().insert(bucket, Standing { touched: false, next });
        Ok(())
    }

    /// Buckets with new rows whose pause is over; those that stayed quiet through theirs are forgotten.
    fn take_due(&self, now: Instant) -> Vec<Bucket> {
        let mut buckets = self.buckets.lock();
        let mut due = Vec::new();
        buckets.retain(|bucket, standing| {
            if standing.next > now || due.len() == ROUND {
                return true;
            }
            if standing.touched {
                due.push(bucket.clone());
            }
            false
        });
        due
    }
}
