//! The worker's loop. Invariant: it waits in one place, and whatever wakes it is short; all that takes time runs in tasks of
//! the two sets, writes and notes, which end with the worker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::batch::{Flow, Limits, Room, is_bulk};
use super::keeper::Keeper;
use super::line::Line;
use super::metrics;
use super::patience::Patience;
use super::retire::oldest_taken;
use super::strand::Weights;
use super::tally::Tally;
use super::touch;
use super::write::{Batch, Slot, Verdict, Writer, WriterSettings};

use crate::config::{DatabaseConfig, WorkerConfig};
use crate::dlq::DeadLetters;
use crate::domain::time::Timestamp;
use crate::kafka::{Consumer, ConsumerEvent, ConsumerHandle, Partition, Revocation};
use crate::store::{EventSink, Progress};
use crate::telemetry::trace::Tracer;

/// Distance between looks at what is owed: bounds how late progress is noted that no transaction held.
const TICK: Duration = Duration::from_millis(200);

/// How long writes of revoked partitions may still take; below what the consumer waits for us.
const REVOKE_PATIENCE: Duration = Duration::from_secs(3);

/// How much longer than Postgres's own deadline an attempt may take before it is given up here.
const GRACE: Duration = Duration::from_secs(1);

/// Why a worker ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The consumer's thread is gone.
    #[error("the consumer has ended")]
    ConsumerEnded,
    /// A write panicked: its records would never be settled.
    #[error("a write panicked")]
    Panicked(#[source] JoinError),
}

struct Job {
    partitions: Vec<Partition>,
    bulk: bool,
    stop: CancellationToken,
}

/// One worker: a consumer, its records on their way, and the writes under way.
pub struct Worker {
    consumer: Consumer,
    log: ConsumerHandle,
    line: Line,
    writer: Arc<Writer>,
    sink: Arc<dyn EventSink>,
    writes: JoinSet<Verdict>,
    jobs: HashMap<Id, Job>,
    notes: JoinSet<Vec<Progress>>,
    touched: Option<Instant>,
    drain: Duration,
    retention_days: u32,
}

impl Worker {
    /// A worker that reads from `consumer`, writes into `sink` and sets aside by `dead`.
    pub fn new(
        config: &WorkerConfig,
        database: &DatabaseConfig,
        consumer: Consumer,
        sink: Arc<dyn EventSink>,
        dead: DeadLetters,
    ) -> Self {
        metrics::announce();
        let limits = Limits {
            events: config.worker_batch_events,
            bytes: config.worker_batch_kib * 1024,
            wait: config.batch_wait(),
            buffer: config.worker_buffer_kib * 1024,
            bulk_writes: (config.worker_concurrency / 2).max(1),
        };
        let settings = WriterSettings {
            concurrency: config.worker_concurrency,
            events: config.worker_batch_events,
            deadline: database.write_timeout() + GRACE,
            tries: config.worker_tries,
            patience: Patience::default(),
        };
        let mut line = Line::new(limits);
        line.keep_from(oldest_taken(Timestamp::now(), database.retention_days));
        Self {
            log: consumer.handle(),
            consumer,
            line,
            retention_days: database.retention_days,
            writer: Arc::new(Writer::new(Arc::clone(&sink), dead, settings)),
            sink,
            writes: JoinSet::new(),
            jobs: HashMap::new(),
            notes: JoinSet::new(),
            touched: None,
            drain: Duration::from_secs(config.worker_drain_seconds),
        }
    }

    /// Accounts share by these weights from now on; without, all weigh the same.
    #[must_use]
    pub fn weighing(mut self, weights: Weights) -> Self {
        self.line.weigh(weights);
        self
    }

    /// Counts what is stored into the live counters.
    #[must_use]
    pub fn counting(self, tally: Arc<Tally>) -> Self {
        self.writer.followers().count_into(tally);
        self
    }

    /// Has the sketches of what is stored kept up to date.
    #[must_use]
    pub fn sketching(self, keeper: Arc<Keeper>) -> Self {
        self.writer.followers().sketch_with(keeper);
        self
    }

    /// Hands on spans of what is stored.
    #[must_use]
    pub fn tracing(self, tracer: Tracer) -> Self {
        self.writer.followers().trace_with(tracer);
        self
    }

    /// Works until `shutdown`, then finishes or drops what is on its way, commits, leaves the group and returns, all within
    /// `WEIR_WORKER_DRAIN_SECONDS`.
    ///
    /// # Errors
    /// [`WorkerError`] when it cannot go on; what was not settled is read again by whoever gets its partitions.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let worked = self.work(&shutdown).await;
        self.drain().await;
        worked
    }

    async fn work(&mut self, shutdown: &CancellationToken) -> Result<(), WorkerError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.start_writes();
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                Some(ended) = self.writes.join_next_with_id() => self.settle(ended)?,
                Some(Ok(noted)) = self.notes.join_next() => self.line.noted(&noted),
                event = self.consumer.next(), if self.line.has_room() => match event {
                    Some(ConsumerEvent::Records(records)) => self.line.take_in(records, Instant::now()),
                    Some(ConsumerEvent::Assigned(partitions)) => self.assigned(partitions),
                    Some(ConsumerEvent::Revoked(revocation)) => self.revoke(revocation).await?,
                    None => return Err(WorkerError::ConsumerEnded),
                },
                () = until(due) => {}
                _ = tick.tick() => self.note(),
            }
        }
    }

    /// Starts a write for every free slot that has a batch due; answers when to look again.
    fn start_writes(&mut self) -> Option<Instant> {
        self.control_flow();
        loop {
            // Without a slot the end of a write wakes us, or the next tick.
            let slot = self.writer.slot()?;
            let room = Room { bulk: self.jobs.values().filter(|job| job.bulk).count(), events: self.writer.events() };
            match self.line.next_batch(Instant::now(), room) {
                Some(batch) => self.start_write(batch, Some(slot)),
                None => return self.line.due(room),
            }
        }
    }

    fn start_write(&mut self, batch: Batch, slot: Option<Slot>) {
        let stop = CancellationToken::new();
        let partitions: Vec<_> = batch.parts.iter().map(|part| part.partition.clone()).collect();
        let bulk = partitions.iter().any(is_bulk);
        let job = Job { partitions, bulk, stop: stop.clone() };
        let writer = Arc::clone(&self.writer);
        let handle = self.writes.spawn(async move { writer.write(batch, slot, &stop).await });
        self.jobs.insert(handle.id(), job);
    }

    fn control_flow(&mut self) {
        for change in self.line.flow() {
            match change {
                Flow::Pause(partition) => self.log.pause(vec![partition]),
                Flow::Resume(partition) => self.log.resume(vec![partition]),
            }
        }
    }

    fn assigned(&mut self, partitions: Vec<Partition>) {
        self.line.assigned(partitions);
        self.sink.expect_repeats();
        // Those with nothing to read are vouched for at the next tick, the others by their first record.
        self.touched = None;
    }

    fn settle(&mut self, ended: Result<(Id, Verdict), JoinError>) -> Result<(), WorkerError> {
        let (id, verdict) = ended.map_err(WorkerError::Panicked)?;
        self.jobs.remove(&id);
        match verdict {
            Verdict::Done { parts, noted } => {
                let stored = self.line.done(&parts, noted);
                if !stored.is_empty() {
                    self.log.store(stored);
                }
            }
            Verdict::Split(parts) => {
                for batch in self.line.split(parts) {
                    self.start_write(batch, None);
                }
            }
            Verdict::BrokenOff(parts) => self.line.put_back(parts, Instant::now()),
        }
        Ok(())
    }

    /// Lets go of partitions: writes of theirs get a moment to end, then they are broken off. A transaction that commits all
    /// the same does no harm: the next owner finds its rows as duplicates, and its progress never goes backwards.
    async fn revoke(&mut self, revocation: Revocation) -> Result<(), WorkerError> {
        self.line.revoking(&revocation.partitions);
        let patience = if revocation.lost { Duration::ZERO } else { REVOKE_PATIENCE };
        let until = tokio::time::Instant::now() + patience;
        loop {
            let theirs = self.stops_of(&revocation.partitions);
            if theirs.is_empty() {
                break;
            }
            if tokio::time::Instant::now() >= until {
                theirs.iter().for_each(CancellationToken::cancel);
                let Some(ended) = self.writes.join_next_with_id().await else { break };
                self.settle(ended)?;
            } else if let Ok(Some(ended)) = timeout_at(until, self.writes.join_next_with_id()).await {
                self.settle(ended)?;
            }
        }
        self.line.revoked(&revocation.partitions);
        revocation.done();
        Ok(())
    }

    fn stops_of(&self, partitions: &[Partition]) -> Vec<CancellationToken> {
        let touches = |job: &&Job| job.partitions.iter().any(|partition| partitions.contains(partition));
        self.jobs.values().filter(touches).map(|job| job.stop.clone()).collect()
    }

    /// Notes progress that no transaction held and, once a second, that partitions have nothing left to read. One at a time:
    /// while Postgres is away nothing piles up.
    fn note(&mut self) {
        let now = Timestamp::now();
        self.line.observe(now.micros() / 1_000);
        self.line.keep_from(oldest_taken(now, self.retention_days));
        self.writer.watch(now);
        if !self.notes.is_empty() {
            return;
        }
        let mut progress = self.line.owed();
        let idle = if self.touched.is_none_or(|touched| touched.elapsed() >= touch::EVERY) {
            self.touched = Some(Instant::now());
            self.line.idle()
        } else {
            Vec::new()
        };
        if progress.is_empty() && idle.is_empty() {
            return;
        }
        let (sink, log) = (Arc::clone(&self.sink), self.log.clone());
        self.notes.spawn(async move {
            progress.extend(touch::caught_up(&log, idle).await);
            if progress.is_empty() {
                return progress;
            }
            match sink.write(&[], &progress).await {
                Ok(_) => progress,
                Err(error) => {
                    tracing::debug!(%error, "progress is not noted; it is tried again");
                    Vec::new()
                }
            }
        });
    }

    /// Two thirds of the time go to writes under way, the rest to leaving the group.
    async fn drain(&mut self) {
        let started = tokio::time::Instant::now();
        let until = started + self.drain * 2 / 3;
        while let Ok(Some(ended)) = timeout_at(until, self.writes.join_next_with_id()).await {
            if let Ok((_, Verdict::Done { parts, noted })) = ended {
                self.log.store(self.line.done(&parts, noted));
            }
        }
        let dropped = self.writes.len();
        self.writes.shutdown().await;
        self.notes.shutdown().await;
        let left = self.log.stop(self.drain.saturating_sub(started.elapsed())).await;
        if dropped > 0 || !left {
            tracing::warn!(dropped, left, "the worker stopped in a hurry; what it dropped is read again");
        } else {
            tracing::info!("the worker has settled everything it had begun");
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
