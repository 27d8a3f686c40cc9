//! Sums on their way to Postgres. Invariant: a flush keeps its number and its content until Postgres has said that it has it, so
//! nothing is added twice; while it waits, what happens meanwhile gathers in the recorder, within its bound.
//!
//! The sums of 100,000 accounts go as many small flushes: each locks few rows for some milliseconds, so that instances do not wait
//! long for each other, and a Postgres too slow for all of them still takes one after the other.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::metrics;
use crate::config::SloConfig;
use crate::domain::time::Timestamp;
use crate::store::{Flush, SliStore};
use crate::telemetry::sli::Recorder;

const DAY: i64 = 86_400;

/// How far back a process vouches for minutes it could not tell Postgres about.
const VOUCHES: i64 = 7 * DAY;

/// Rows of one flush.
const ROWS: usize = 2_000;

/// How long the last flushes may hold up the end of the process.
const LAST: Duration = Duration::from_secs(2);

/// Writes the sums of one process.
pub struct Flusher {
    recorder: Recorder,
    store: SliStore,
    every: Duration,
    retention: i64,
    serves_tenants: bool,
    instance: String,
    seq: i64,
    alive_from: i64,
    unsent: VecDeque<Flush>,
    failures: u32,
}

impl Flusher {
    /// A flusher of `recorder`; only a process that `serves_tenants` tells when it lived.
    pub fn new(recorder: Recorder, store: SliStore, config: &SloConfig, serves_tenants: bool, now: Timestamp) -> Self {
        metrics::announce();
        Self {
            recorder,
            store,
            every: config.flush_every(),
            retention: i64::from(config.slo_retention_days) * DAY,
            serves_tenants,
            instance: Uuid::new_v4().hyphenated().to_string(),
            seq: 0,
            alive_from: minute(now),
            unsent: VecDeque::new(),
            failures: 0,
        }
    }

    /// Flushes now and then until `stop`, and once more.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            // Instances that start together must not flush together.
            let wait = self.every.mul_f64(rand::rng().random_range(0.9..1.1));
            tokio::select! {
                () = sleep(wait) => self.flush(Timestamp::now()).await,
                () = stop.cancelled() => break,
            }
        }
        if timeout(LAST, self.flush(Timestamp::now())).await.is_err() {
            tracing::warn!("the last sums for reports were not written in time");
        }
    }

    /// Sends what was not sent before, then what has gathered since.
    pub async fn flush(&mut self, now: Timestamp) {
        if !self.send().await {
            return;
        }
        let until = minute(now);
        let from = self.alive_from.max(until - VOUCHES);
        let mut alive = if self.serves_tenants { (from..=until).step_by(60).collect() } else { Vec::new() };
        self.alive_from = until;
        let mut keep_from = Some(now.unix_seconds() - self.retention);
        for sums in self.recorder.take().parts(ROWS) {
            self.seq += 1;
            let (alive, keep_from) = (std::mem::take(&mut alive), keep_from.take());
            self.unsent.push_back(Flush { instance: self.instance.clone(), seq: self.seq, sums, alive, keep_from });
        }
        self.send().await;
    }

    /// Whether nothing is left to send.
    async fn send(&mut self) -> bool {
        while let Some(flush) = self.unsent.front() {
            match self.store.flush(flush).await {
                Ok(new) => metrics::flushed(new),
                Err(error) => {
                    metrics::failed(&error, self.failures);
                    self.failures = self.failures.saturating_add(1);
                    return false;
                }
            }
            self.failures = 0;
            self.unsent.pop_front();
        }
        true
    }
}

fn minute(now: Timestamp) -> i64 {
    now.unix_seconds() / 60 * 60
}
