//! What waits between poll and write, and who goes next. Invariant: at most one write per partition is under way and it took
//! the head of that partition's queue, so one account's records in a partition are written in their order, and a write that
//! commits closes its partition's gap.
//!
//! Concurrency comes from several partitions; one batch may merge several of them. The partition served longest ago goes
//! first, so that a partition with a backlog costs its neighbours at most one batch. This choice is where fair shares between
//! accounts belong: whoever reorders a queue must keep each account's own order. Memory: a partition that holds more than its
//! part of the buffer, waiting and being written, is paused until it is down to half.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::decode::Taken;
use super::offsets::Generation;
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
}

/// The head of one partition's queue, on its way to the database.
#[derive(Debug)]
pub struct Part {
    /// Where the records come from.
    pub partition: Partition,
    /// The assignment they came under.
    pub generation: Generation,
    /// Ascending by offset.
    pub records: Vec<Taken>,
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
    records: VecDeque<(Instant, Taken)>,
    /// Memory of the records that wait and of those being written.
    held: usize,
    /// What is being written; `None` when no write is under way.
    writing: Option<Writing>,
    paused: bool,
    /// Rises with every batch; the smallest was served longest ago.
    served: u64,
}

#[derive(Debug)]
struct Writing {
    weight: usize,
    /// The log's time of its first record.
    oldest_ms: i64,
}

/// The queues of all partitions that are ours.
#[derive(Debug)]
pub struct Batcher {
    limits: Limits,
    queues: HashMap<Partition, Queue>,
    batches: u64,
}

impl Batcher {
    /// Empty queues.
    pub fn new(limits: Limits) -> Self {
        Self { limits, queues: HashMap::new(), batches: 0 }
    }

    /// A partition became ours.
    pub fn assign(&mut self, partition: Partition, generation: Generation) {
        let queue =
            Queue { generation, records: VecDeque::new(), held: 0, writing: None, paused: false, served: self.batches };
        self.queues.insert(partition, queue);
    }

    /// A partition is ours no more; what waited is dropped, its next owner reads it again.
    pub fn revoke(&mut self, partition: &Partition) {
        self.queues.remove(partition);
    }

    /// A record joins the end of its queue.
    pub fn push(&mut self, partition: &Partition, record: Taken, now: Instant) {
        let Some(queue) = self.queues.get_mut(partition) else { return };
        queue.held += record.weight();
        queue.records.push_back((now, record));
    }

    /// Takes the next batch if one is full or a record has waited long enough. Its partitions stand still until
    /// [`Batcher::written`] or [`Batcher::put_back`].
    pub fn take(&mut self, now: Instant) -> Option<Vec<Part>> {
        if !self.full() && self.due().is_none_or(|due| now < due) {
            return None;
        }
        self.batches += 1;
        let mut ready: Vec<_> =
            self.queues.iter_mut().filter(|(_, queue)| queue.writing.is_none() && !queue.records.is_empty()).collect();
        ready.sort_unstable_by(|a, b| (a.1.served, a.0).cmp(&(b.1.served, b.0)));
        let (mut events, mut bytes) = (0, 0);
        let mut parts = Vec::new();
        for (partition, queue) in ready {
            let mut records = Vec::new();
            while let Some((_, record)) = queue.records.front() {
                let fits = events == 0 || (events < self.limits.events && bytes + record.bytes() <= self.limits.bytes);
                if !fits {
                    break;
                }
                events += 1;
                bytes += record.bytes();
                records.extend(queue.records.pop_front().map(|(_, record)| record));
            }
            if records.is_empty() {
                break;
            }
            queue.writing = Some(Writing {
                weight: records.iter().map(Taken::weight).sum(),
                oldest_ms: records.first().map_or(0, |record| record.origin.timestamp_ms),
            });
            queue.served = self.batches;
            parts.push(Part { partition: partition.clone(), generation: queue.generation, records });
        }
        Some(parts)
    }

    /// A write of this partition ended well.
    pub fn written(&mut self, partition: &Partition, generation: Generation) {
        if let Some(queue) = self.queues.get_mut(partition).filter(|queue| queue.generation == generation) {
            queue.held -= queue.writing.take().map_or(0, |writing| writing.weight);
        }
    }

    /// A write was broken off: its records stand at the head of their queue again, due at once.
    pub fn put_back(&mut self, part: Part, now: Instant) {
        let generation = part.generation;
        if let Some(queue) = self.queues.get_mut(&part.partition).filter(|queue| queue.generation == generation) {
            queue.writing = None;
            let due = now.checked_sub(self.limits.wait).unwrap_or(now);
            for record in part.records.into_iter().rev() {
                queue.records.push_front((due, record));
            }
        }
    }

    /// When the longest waiting record that could be written is due.
    pub fn due(&self) -> Option<Instant> {
        let heads =
            self.queues.values().filter(|queue| queue.writing.is_none()).filter_map(|queue| queue.records.front());
        heads.map(|(since, _)| *since + self.limits.wait).min()
    }

    fn full(&self) -> bool {
        let (mut events, mut memory) = (0, 0);
        for queue in self.queues.values().filter(|queue| queue.writing.is_none()) {
            events += queue.records.len();
            memory += queue.held;
        }
        // Weights are at least twice the bytes, so this fires a little early; `take` keeps the exact bound.
        events >= self.limits.events || memory >= 2 * self.limits.bytes
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

    /// The log's time, in ms, of the oldest record of a partition that is not done; `None` when all are.
    pub fn oldest_ms(&self, partition: &Partition) -> Option<i64> {
        let queue = self.queues.get(partition)?;
        let waiting = || queue.records.front().map(|(_, record)| record.origin.timestamp_ms);
        queue.writing.as_ref().map(|writing| writing.oldest_ms).or_else(waiting)
    }

    /// Memory held by all queues, what is being written included.
    pub fn held(&self) -> usize {
        self.queues.values().map(|queue| queue.held).sum()
    }

    /// Records that wait.
    pub fn waiting(&self) -> usize {
        self.queues.values().map(|queue| queue.records.len()).sum()
    }

    /// Partitions that are paused.
    pub fn paused(&self) -> usize {
        self.queues.values().filter(|queue| queue.paused).count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decode::decode;
    use super::super::decode::tests::record;
    use super::super::doubles::{limits, offsets_of, partition};
    use super::super::offsets::Offsets;
    use super::*;

    fn batcher(limits: Limits, partitions: i32) -> (Batcher, Vec<Generation>) {
        let (mut offsets, mut batcher) = (Offsets::default(), Batcher::new(limits));
        let assign = |number| {
            let generation = offsets.assign(partition(number));
            batcher.assign(partition(number), generation);
            generation
        };
        let generations = (0..partitions).map(assign).collect();
        (batcher, generations)
    }

    fn fill(batcher: &mut Batcher, number: i32, offsets: std::ops::Range<i64>, now: Instant) {
        for offset in offsets {
            batcher.push(&partition(number), decode(record("acme", number, offset)), now);
        }
    }

    #[test]
    fn a_batch_goes_when_it_is_full_or_has_waited() {
        let now = Instant::now();
        let wait = Duration::from_millis(50);
        let (mut batcher, _) = batcher(Limits { wait, ..limits(3) }, 2);
        fill(&mut batcher, 0, 0..2, now);
        assert!(batcher.take(now).is_none());
        assert_eq!(batcher.due(), Some(now + wait));
        fill(&mut batcher, 1, 0..1, now);
        assert_eq!(offsets_of(&batcher.take(now).expect("full")), [(0, 0), (0, 1), (1, 0)]);
        assert_eq!(batcher.due(), None);
        fill(&mut batcher, 0, 2..3, now);
        assert!(batcher.take(now + wait).is_none(), "partition 0 is being written");
    }

    #[test]
    fn bytes_bound_a_batch_but_never_starve_a_large_record() {
        let now = Instant::now();
        let size = decode(record("acme", 0, 0)).bytes();
        let (mut two, _) = batcher(Limits { bytes: 2 * size, ..limits(100) }, 1);
        fill(&mut two, 0, 0..5, now);
        assert_eq!(two.take(now).expect("due")[0].records.len(), 2);
        let (mut tiny, _) = batcher(Limits { bytes: 1, ..limits(100) }, 1);
        fill(&mut tiny, 0, 0..5, now);
        assert_eq!(tiny.take(now).expect("due")[0].records.len(), 1);
    }

    #[test]
    fn a_backlog_costs_its_neighbours_at_most_one_batch() {
        let now = Instant::now();
        let (mut batcher, generations) = batcher(limits(10), 2);
        fill(&mut batcher, 0, 0..100, now);
        assert_eq!(batcher.take(now).expect("full").len(), 1);
        fill(&mut batcher, 1, 0..1, now);
        batcher.written(&partition(0), generations[0]);
        let next = batcher.take(now).expect("full");
        assert_eq!(next[0].partition, partition(1));
        assert_eq!(next[1].records.len(), 9);
    }

    #[test]
    fn a_partition_over_its_part_is_paused_alone_and_resumed_at_half() {
        let now = Instant::now();
        let weight = decode(record("acme", 0, 10)).weight();
        let (mut batcher, generations) = batcher(Limits { buffer: 20 * weight, ..limits(6) }, 2);
        let never = |_: &Partition| false;
        fill(&mut batcher, 0, 10..20, now);
        assert!(batcher.flow(never).is_empty());
        fill(&mut batcher, 0, 20..21, now);
        assert_eq!(batcher.flow(never), [Flow::Pause(partition(0))]);
        assert!(batcher.flow(never).is_empty(), "told once");
        batcher.take(now);
        assert!(batcher.flow(never).is_empty(), "what is being written counts");
        batcher.written(&partition(0), generations[0]);
        assert_eq!(batcher.flow(never), [Flow::Resume(partition(0))]);
        assert_eq!(batcher.flow(|crowded| *crowded == partition(1)), [Flow::Pause(partition(1))]);
    }

    proptest! {
        /// Whatever comes in and however writes end, each partition leaves in order, once, one write at a time.
        #[test]
        fn order_holds_and_nothing_is_lost(steps in proptest::collection::vec((0u8..4, 0i32..3), 1..200), most in 1usize..8) {
            let now = Instant::now();
            let (mut batcher, generations) = batcher(limits(most), 3);
            let (mut pushed, mut written) = ([0i64; 3], [0i64; 3]);
            let mut running: Vec<Part> = Vec::new();
            for (step, number) in steps {
                let at = usize::try_from(number).expect("small");
                match step {
                    0 | 1 => {
                        fill(&mut batcher, number, pushed[at]..pushed[at] + 1, now);
                        pushed[at] += 1;
                    }
                    2 => {
                        let parts = batcher.take(now).unwrap_or_default();
                        prop_assert!(parts.iter().map(|part| part.records.len()).sum::<usize>() <= most);
                        for part in &parts {
                            prop_assert!(running.iter().all(|other| other.partition != part.partition));
                        }
                        running.extend(parts);
                    }
                    _ => {
                        let Some(part) = running.pop() else { continue };
                        let here = usize::try_from(part.partition.partition).expect("small");
                        if number == 0 {
                            batcher.put_back(part, now);
                        } else {
                            for record in &part.records {
                                prop_assert_eq!(record.origin.offset, written[here]);
                                written[here] += 1;
                            }
                            batcher.written(&part.partition, generations[here]);
                        }
                    }
                }
                let under_way: usize = running.iter().map(|part| part.records.len()).sum();
                let gone: i64 = written.iter().sum();
                prop_assert_eq!(pushed.iter().sum::<i64>(), gone + i64::try_from(batcher.waiting() + under_way).expect("small"));
            }
        }
    }
}
