//! What waits between poll and write, and who goes next. Invariant: of one account in one partition (a strand) at most one write
//! is under way, and it took the head of that strand, so an account's records in a partition are written in their order.
//!
//! Who goes next is decided by [`Share`] over all strands of a lane, so a backlog costs its neighbours one round and not its
//! length; strands of one partition may be in different writes, which leaves gaps that the offset tracker minds. A batch is of
//! one lane, and of the write slots the bulk lane gets half while the standard lane has work. Memory: a partition that holds
//! more than its part of the buffer, waiting and being written, is paused until it is down to half. That part is also how far
//! a batch can look past a large account to the small ones behind it in the same partition (docs/fairness.md).

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::decode::Taken;
use super::offsets::Generation;
use super::share::{self, Visit};
use super::strand::{Strand, StrandId, Strands, Weights};
use crate::domain::lane::Lane;
use crate::kafka::Partition;

/// Bounds of one batch and of the buffer.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most events of one batch.
    pub events: usize,
    /// Most value bytes of one batch, unless a single record is larger.
    pub bytes: usize,
    /// Longest that a record waits for its batch to fill.
    pub wait: Duration,
    /// Most memory of all queues together; each partition may hold its equal part.
    pub buffer: usize,
    /// Most writes of the bulk lane at the same time while the standard lane has work.
    pub bulk_writes: usize,
}

/// What there is room for now.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Writes of the bulk lane under way.
    pub bulk: usize,
    /// Most events that Postgres takes in time; the batch is smaller when [`Limits::events`] says so.
    pub events: usize,
}

/// What a batch takes of one partition, on its way to the database.
#[derive(Debug)]
pub struct Part {
    /// Where the records come from.
    pub partition: Partition,
    /// The assignment they came under.
    pub generation: Generation,
    /// Ascending by offset.
    pub records: Vec<Taken>,
    /// What the batch's transaction notes as this partition's progress, if anything.
    pub promised: Option<i64>,
    /// Whose records they are: each stands still until the part is written or put back.
    pub strands: Vec<StrandId>,
}

/// Whether a partition should be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// It holds more than its part: stop fetching.
    Pause(Partition),
    /// It is down to half of it: fetch again.
    Resume(Partition),
}

#[derive(Debug)]
struct Queue {
    generation: Generation,
    /// Memory of the records that wait and of those being written.
    held: usize,
    paused: bool,
}

/// The queues of all partitions that are ours.
#[derive(Debug)]
pub struct Batcher {
    limits: Limits,
    weights: Weights,
    queues: HashMap<Partition, Queue>,
    standard: Strands,
    bulk: Strands,
    /// The lane of the last batch: of two lanes with work, the other goes next.
    bulk_last: bool,
}

impl Batcher {
    /// Empty queues; all accounts weigh the same.
    pub fn new(limits: Limits) -> Self {
        let (weights, standard, bulk) = (Weights::default(), Strands::default(), Strands::default());
        Self { limits, weights, queues: HashMap::new(), standard, bulk, bulk_last: false }
    }

    /// Accounts share by these weights from now on.
    pub fn weigh(&mut self, weights: Weights) {
        self.weights = weights;
    }

    /// A partition became ours.
    pub fn assign(&mut self, partition: Partition, generation: Generation) {
        self.revoke(&partition);
        self.queues.insert(partition, Queue { generation, held: 0, paused: false });
    }

    /// A partition is ours no more; what waited is dropped, its next owner reads it again.
    pub fn revoke(&mut self, partition: &Partition) {
        if self.queues.remove(partition).is_some() {
            self.lane(partition).drop_partition(partition);
        }
    }

    /// A record joins the end of its account's strand.
    pub fn push(&mut self, partition: &Partition, record: Taken, now: Instant) {
        let Some(queue) = self.queues.get_mut(partition) else { return };
        queue.held += record.weight();
        self.lane(partition).push(partition, record, now);
    }

    /// Takes the next batch if a lane has a full one or a record that has waited long enough. Its strands stand still until
    /// [`Batcher::written`] or [`Batcher::put_back`].
    pub fn take(&mut self, now: Instant, room: Room) -> Option<Vec<Part>> {
        let events = self.limits.events.min(room.events).max(1);
        let due = |lane: &Strands| {
            let full = lane.events() >= events || lane.bytes() >= self.limits.bytes;
            full || lane.oldest().is_some_and(|since| since + self.limits.wait <= now)
        };
        let (standard, bulk) = (due(&self.standard), self.bulk_may(room) && due(&self.bulk));
        self.bulk_last = match (standard, bulk) {
            (false, false) => return None,
            (true, true) => !self.bulk_last,
            (_, bulk) => bulk,
        };
        Some(self.draw(events))
    }

    /// Draws a batch of the lane whose turn it is.
    fn draw(&mut self, most: usize) -> Vec<Part> {
        let lane = if self.bulk_last { &mut self.bulk } else { &mut self.standard };
        let (limits, weights) = (&self.limits, &self.weights);
        let (mut events, mut bytes) = (0, 0);
        let mut parts: BTreeMap<Partition, Part> = BTreeMap::new();
        lane.draw(|id, strand: &mut Strand, turn| {
            let mut credit = turn.credit(weights.of(strand.account()));
            while let Some(next) = strand.peek() {
                if events > 0 && (events == most || bytes + next.bytes() > limits.bytes) {
                    return Visit::Full(credit);
                }
                let cost = share::cost(next.bytes());
                let Some(left) = credit.checked_sub(cost) else { return Visit::Saved(credit) };
                let (Some(queue), Some(record)) = (self.queues.get(strand.partition()), strand.take()) else { break };
                credit = left;
                events += 1;
                bytes += record.bytes();
                let part = parts.entry(strand.partition().clone()).or_insert_with(|| Part {
                    partition: strand.partition().clone(),
                    generation: queue.generation,
                    records: Vec::new(),
                    promised: None,
                    strands: Vec::new(),
                });
                if strand.begin_writing(&record) {
                    part.strands.push(id);
                }
                part.records.push(record);
            }
            Visit::Emptied
        });
        let mut parts: Vec<Part> = parts.into_values().collect();
        parts.iter_mut().for_each(|part| part.records.sort_unstable_by_key(|record| record.origin.offset));
        parts
    }

    /// A part was written.
    pub fn written(&mut self, part: &Part) {
        if let Some(queue) = self.queues.get_mut(&part.partition).filter(|queue| queue.generation == part.generation) {
            queue.held -= part.records.iter().map(Taken::weight).sum::<usize>();
        }
        self.lane(&part.partition).release(&part.strands);
    }

    /// A write was broken off: its records stand at the heads of their strands again, due at once.
    pub fn put_back(&mut self, part: Part, now: Instant) {
        let generation = part.generation;
        if self.queues.get(&part.partition).is_some_and(|queue| queue.generation == generation) {
            let due = now.checked_sub(self.limits.wait).unwrap_or(now);
            let lane = self.lane(&part.partition);
            lane.put_back(&part.partition, part.records, due);
            lane.release(&part.strands);
        }
    }

    /// When the longest waiting record that could be written is due.
    pub fn due(&self, room: Room) -> Option<Instant> {
        let bulk = self.bulk.oldest().filter(|_| self.bulk_may(room));
        self.standard.oldest().into_iter().chain(bulk).min().map(|since| since + self.limits.wait)
    }

    fn bulk_may(&self, room: Room) -> bool {
        self.standard.events() == 0 || room.bulk < self.limits.bulk_writes
    }

    fn lane(&mut self, partition: &Partition) -> &mut Strands {
        if is_bulk(partition) { &mut self.bulk } else { &mut self.standard }
    }

    /// What must be paused or resumed now; each change is told once. `crowded` marks partitions of which the offset tracker
    /// remembers too much.
    pub fn flow(&mut self, crowded: impl Fn(&Partition) -> bool) -> Vec<Flow> {
        let part = self.limits.buffer / self.queues.len().max(1);
        let mut changes = Vec::new();
        for (partition, queue) in &mut self.queues {
            let over = queue.held > part || crowded(partition);
            if !queue.paused && over {
                queue.paused = true;
                changes.push(Flow::Pause(partition.clone()));
            } else if queue.paused && !over && queue.held <= part / 2 {
                queue.paused = false;
                changes.push(Flow::Resume(partition.clone()));
            }
        }
        changes
    }

    /// The log's time, in ms, of the oldest record of each partition that is not done; partitions without one are missing.
    pub fn oldest_ms(&self) -> HashMap<Partition, i64> {
        let mut oldest: HashMap<Partition, i64> = HashMap::new();
        for (partition, ms) in self.standard.oldest_ms().chain(self.bulk.oldest_ms()) {
            oldest.entry(partition.clone()).and_modify(|known| *known = ms.min(*known)).or_insert(ms);
        }
        oldest
    }

    /// Memory held by all queues, what is being written included.
    pub fn held(&self) -> usize {
        self.queues.values().map(|queue| queue.held).sum()
    }

    /// Records that wait for a write, those of strands that stand still included.
    pub fn waiting(&self) -> usize {
        self.standard.waiting() + self.bulk.waiting()
    }

    /// Partitions that are paused.
    pub fn paused(&self) -> usize {
        self.queues.values().filter(|queue| queue.paused).count()
    }
}

/// Whether a partition is of the bulk lane.
pub fn is_bulk(partition: &Partition) -> bool {
    Lane::of_topic(&partition.topic) == Lane::Bulk
}

#[cfg(test)]
mod tests;
