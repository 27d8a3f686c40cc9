//! What is on its way between the log and the database: the worker's whole state, without any I/O. Invariant: every record
//! taken in leaves by exactly one door: settled, or forgotten because its partition went to another worker.

use std::time::Instant;

use super::batch::{Batcher, Flow, Limits, Part, Room};
use super::decode::decode;
use super::metrics;
use super::offsets::{Offsets, Seen};
use super::settle::Settlement;
use super::strand::Weights;
use super::write::Batch;
use crate::domain::time::Timestamp;
use crate::kafka::{Partition, Polled, Stored};
use crate::store::Progress;

/// Polled and not yet settled offsets a partition may have before it is paused.
const REMEMBERED: usize = 200_000;

/// The records on their way.
#[derive(Debug)]
pub struct Line {
    offsets: Offsets,
    batcher: Batcher,
    settlement: Settlement,
    buffer: usize,
    oldest: Timestamp,
}

impl Line {
    /// An empty line.
    pub fn new(limits: Limits) -> Self {
        let buffer = limits.buffer;
        let (offsets, settlement) = (Offsets::default(), Settlement::default());
        Self { offsets, batcher: Batcher::new(limits), settlement, buffer, oldest: Timestamp::EPOCH }
    }

    /// Accounts share by these weights from now on.
    pub fn weigh(&mut self, weights: Weights) {
        self.batcher.weigh(weights);
    }

    /// Partitions became ours: whatever was known of them is forgotten.
    pub fn assigned(&mut self, partitions: Vec<Partition>) {
        for partition in partitions {
            let generation = self.offsets.assign(partition.clone());
            self.batcher.assign(partition.clone(), generation);
            self.settlement.assign(partition);
        }
    }

    /// Partitions go: what waits is forgotten; writes under way may still settle until [`Line::revoked`].
    pub fn revoking(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.batcher.revoke(partition);
        }
    }

    /// Partitions are gone; whatever reports late is not heard.
    pub fn revoked(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.batcher.revoke(partition);
            self.offsets.revoke(partition);
            self.settlement.revoke(partition);
            metrics::lost(partition);
        }
    }

    /// Events from before `oldest` are to be set aside from now on.
    pub fn keep_from(&mut self, oldest: Timestamp) {
        self.oldest = oldest;
    }

    /// Decodes records and lines them up.
    pub fn take_in(&mut self, records: Vec<Polled>, now: Instant) {
        let mut partition = None;
        for polled in records {
            let here = match partition.take() {
                Some(Partition { topic, partition }) if topic == polled.topic && partition == polled.partition => {
                    Partition { topic, partition }
                }
                _ => Partition { topic: polled.topic.clone(), partition: polled.partition },
            };
            if let Seen::New(_) = self.offsets.polled(&here, polled.offset) {
                self.settlement.begin(&here, &polled);
                self.batcher.push(&here, decode(polled).not_before(self.oldest), now);
            }
            partition = Some(here);
        }
    }

    /// The next batch, when one is due.
    pub fn next_batch(&mut self, now: Instant, room: Room) -> Option<Batch> {
        let mut parts = self.batcher.take(now, room)?;
        let progress = self.settlement.promise(&mut parts, &self.offsets);
        Some(Batch { parts, progress })
    }

    /// When the next batch is due.
    pub fn due(&self, room: Room) -> Option<Instant> {
        self.batcher.due(room)
    }

    /// A batch came to its end: what to store at the log.
    pub fn done(&mut self, parts: &[Part], noted: bool) -> Vec<Stored> {
        let mut stored = Vec::with_capacity(parts.len());
        for part in parts {
            self.batcher.written(part);
            stored.extend(self.settlement.done(part, noted, &mut self.offsets));
        }
        stored
    }

    /// A merged batch holds a refused record: each of its partitions goes on by itself.
    pub fn split(&mut self, parts: Vec<Part>) -> Vec<Batch> {
        let mut batches = Vec::with_capacity(parts.len());
        for part in parts {
            let mut parts = vec![part];
            let progress = self.settlement.promise(&mut parts, &self.offsets);
            batches.push(Batch { parts, progress });
        }
        batches
    }

    /// A batch was broken off: its records wait again, those of lost partitions are forgotten.
    pub fn put_back(&mut self, parts: Vec<Part>, now: Instant) {
        for part in parts {
            self.batcher.put_back(part, now);
        }
    }

    /// Progress the database does not have yet.
    pub fn owed(&self) -> Vec<Progress> {
        self.settlement.owed()
    }

    /// The database has this progress now.
    pub fn noted(&mut self, progress: &[Progress]) {
        self.settlement.noted(progress);
    }

    /// Partitions of which everything polled is settled, each with the offset to read next when any record was seen.
    pub fn idle(&self) -> Vec<(Partition, Option<i64>)> {
        let idle = self.offsets.partitions().filter(|partition| self.offsets.idle(partition));
        idle.map(|partition| (partition.clone(), self.offsets.next(partition))).collect()
    }

    /// Which partitions to pause or resume; each change is told once.
    pub fn flow(&mut self) -> Vec<Flow> {
        let offsets = &self.offsets;
        self.batcher.flow(|partition| offsets.remembered(partition) > REMEMBERED)
    }

    /// Whether more records may come in. Pausing keeps each partition to its part; this is the bound that holds even so.
    pub fn has_room(&self) -> bool {
        self.batcher.held() < 2 * self.buffer
    }

    /// Tells the gauges.
    pub fn observe(&self, now_ms: i64) {
        metrics::holding(self.offsets.open(), self.batcher.held(), self.batcher.paused());
        let waiting = self.batcher.oldest_ms();
        for partition in self.offsets.partitions() {
            let oldest = waiting.get(partition).copied().unwrap_or(now_ms);
            metrics::lag(partition, (now_ms - oldest) / 1_000);
        }
    }
}
