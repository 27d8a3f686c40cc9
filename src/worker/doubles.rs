//! Doubles for the worker's tests: a database and a log that fail on demand. Invariant: like the real ones, the database stores
//! an event once, a batch whole or not at all, and progress never goes back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::batch::{Limits, Part, Room};
use super::line::Line;
use super::patience::Patience;
use super::write::{Writer, WriterSettings};
use crate::dlq::DeadLetters;
use crate::domain::event::Event;
use crate::kafka::{Partition, Placement, Publish, PublishError, Record};
use crate::store::{EventSink, Progress, SetAside, WriteError, Written};

/// A database.
pub(super) struct Store {
    /// `account/event_id` in the order of their first write.
    pub(super) rows: Mutex<Vec<String>>,
    pub(super) progress: Mutex<HashMap<i32, i64>>,
    pub(super) writes: AtomicU32,
    /// Event ids whose content is refused.
    pub(super) refused: Mutex<HashSet<String>>,
    /// Writes that fail before the next may succeed.
    pub(super) storms: AtomicU32,
    pub(super) schema_troubles: AtomicU32,
    /// Larger batches never end.
    pub(super) most: AtomicUsize,
    /// Offsets of the records in the index of dead letters.
    pub(super) indexed: Mutex<Vec<i64>>,
    /// Each write takes one and gives it back.
    pub(super) gate: Semaphore,
}

impl Store {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            rows: Mutex::default(),
            progress: Mutex::default(),
            writes: AtomicU32::new(0),
            refused: Mutex::default(),
            storms: AtomicU32::new(0),
            schema_troubles: AtomicU32::new(0),
            most: AtomicUsize::new(usize::MAX),
            indexed: Mutex::default(),
            gate: Semaphore::new(100),
        })
    }

    pub(super) fn refuse(&self, ids: impl IntoIterator<Item = String>) {
        self.refused.lock().extend(ids);
    }

    fn commit(&self, batch: &[Event<'_>], progress: &[Progress]) -> Written {
        let mut rows = self.rows.lock();
        let mut known: HashSet<String> = rows.iter().cloned().collect();
        let mut new = Vec::new();
        for event in batch {
            let row = format!("{}/{}", event.account_id, event.event_id);
            new.push(known.insert(row.clone()));
            if new.ends_with(&[true]) {
                rows.push(row);
            }
        }
        let mut noted = self.progress.lock();
        for mark in progress {
            let held = noted.entry(mark.partition).or_default();
            *held = mark.next_offset.max(*held);
        }
        let inserted = new.iter().filter(|new| **new).count();
        Written { inserted, duplicates: new.len() - inserted, new }
    }
}

fn count_down(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl EventSink for Store {
    fn write<'a>(
        &'a self,
        batch: &'a [Event<'a>],
        progress: &'a [Progress],
    ) -> BoxFuture<'a, Result<Written, WriteError>> {
        Box::pin(async move {
            let _through = self.gate.acquire().await;
            self.writes.fetch_add(1, Ordering::SeqCst);
            if count_down(&self.storms) {
                return Err(WriteError::Transient("storm".into()));
            }
            if batch.len() > self.most.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            if count_down(&self.schema_troubles) {
                return Err(WriteError::Schema("no such table".into()));
            }
            let refused = self.refused.lock().clone();
            if batch.iter().any(|event| refused.contains(event.event_id.as_str())) {
                return Err(WriteError::Data("22P02".into()));
            }
            Ok(self.commit(batch, progress))
        })
    }

    fn expect_repeats(&self) {}

    fn index<'a>(&'a self, letters: &'a [SetAside]) -> BoxFuture<'a, Result<(), WriteError>> {
        self.indexed.lock().extend(letters.iter().map(|letter| letter.origin.offset));
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A log that keeps dead letters.
pub(super) struct Letters {
    pub(super) records: Mutex<Vec<Record>>,
    /// Publishes that fail before the next may succeed.
    pub(super) away: AtomicU32,
    /// Each publish takes one and gives it back.
    pub(super) gate: Semaphore,
}

impl Letters {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { records: Mutex::default(), away: AtomicU32::new(0), gate: Semaphore::new(100) })
    }

    /// One header of each letter.
    pub(super) fn header(&self, name: &str) -> Vec<String> {
        let records = self.records.lock();
        let of =
            |record: &Record| record.headers.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.clone());
        records.iter().filter_map(of).map(|value| String::from_utf8_lossy(&value).into_owned()).collect()
    }
}

impl Publish for Letters {
    fn publish(
        &self,
        records: Vec<Record>,
        _: tokio::time::Instant,
    ) -> BoxFuture<'_, Vec<Result<Placement, PublishError>>> {
        Box::pin(async move {
            let _through = self.gate.acquire().await;
            // The first of a failing publish is acknowledged all the same: results are by record.
            let failing = count_down(&self.away);
            let mut results = Vec::new();
            for (at, record) in records.into_iter().enumerate() {
                if failing && at > 0 {
                    results.push(Err(PublishError::Away));
                } else {
                    self.records.lock().push(record);
                    results.push(Ok(Placement { partition: 0, offset: 0 }));
                }
            }
            results
        })
    }
}

pub(super) fn writer(store: &Arc<Store>, letters: &Arc<Letters>, concurrency: usize) -> Writer {
    impatient_writer(store, letters, concurrency, Duration::from_secs(60))
}

/// A writer that gives the database so much time.
pub(super) fn impatient_writer(
    store: &Arc<Store>,
    letters: &Arc<Letters>,
    concurrency: usize,
    deadline: Duration,
) -> Writer {
    let publisher: Arc<dyn Publish> = Arc::<Letters>::clone(letters);
    let dead = DeadLetters::new(publisher, "dead", Duration::from_secs(1));
    let patience = Patience {
        first: Duration::ZERO,
        cap: Duration::ZERO,
        between_tries: Duration::ZERO,
        after_dead: Duration::ZERO,
    };
    let settings = WriterSettings { concurrency, events: 10_000, deadline, tries: 3, patience };
    Writer::new(Arc::<Store>::clone(store), dead, settings)
}

/// Limits under which everything that waits is due at once.
pub(super) fn limits(events: usize) -> Limits {
    Limits { events, bytes: 1 << 30, wait: Duration::ZERO, buffer: 1 << 30, bulk_writes: 1 }
}

/// Room for everything.
pub(super) const ROOM: Room = Room { bulk: 0, events: usize::MAX };

pub(super) fn partition(number: i32) -> Partition {
    Partition { topic: "t".into(), partition: number }
}

pub(super) fn line(partitions: impl IntoIterator<Item = i32>) -> Line {
    let mut line = Line::new(limits(10_000));
    line.assigned(partitions.into_iter().map(partition).collect());
    line
}

pub(super) fn offsets_of(parts: &[Part]) -> Vec<(i32, i64)> {
    let all = parts.iter().flat_map(|part| &part.records);
    all.map(|record| (record.origin.partition, record.origin.offset)).collect()
}
