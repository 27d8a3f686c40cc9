//! The desk between polling and the worker: the batch being filled, what waits for room in the channel, and the worker's
//! commands. Invariant: what leaves the desk for one partition leaves in order, and nothing of a revoked partition leaves after
//! its revocation.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use crate::kafka::record::Polled;

use super::event::{Command, ConsumerEvent, End, Partition, Revocation, Stored};

/// Most records of a batch.
const BATCH_RECORDS: usize = 500;

/// Most bytes of a batch, but for its last record.
const BATCH_BYTES: usize = 1024 * 1024;

pub(super) struct Desk {
    batch: Vec<Polled>,
    batch_bytes: usize,
    outbox: VecDeque<ConsumerEvent>,
    events: Sender<ConsumerEvent>,
    commands: Receiver<Command>,
    /// Names of the topics seen, shared by their records.
    pub(super) topics: Vec<Arc<str>>,
    /// Partitions the worker knows as its own.
    pub(super) assigned: Vec<Partition>,
    /// Those of them the worker wants nothing more of for now.
    held: HashSet<Partition>,
    stop: Option<Stop>,
}

/// What the worker wants of the consumer.
#[derive(Default)]
pub(super) struct Orders {
    /// The next offset to store of each partition: the last that was told. librdkafka takes a second one of the same partition
    /// in one list for an invalid offset, and then commits nothing of that partition until its next record.
    pub(super) store: HashMap<Partition, i64>,
    /// Partitions to stop and to start fetching, in the order of the commands.
    pub(super) flow: Vec<(Partition, Fetch)>,
    /// Questions for the ends of partitions.
    pub(super) ends: Vec<(Vec<Partition>, oneshot::Sender<Vec<End>>)>,
}

/// Whether a partition is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fetch {
    Stop,
    Start,
}

/// Somebody wants the consumer to end.
enum Stop {
    /// And waits for it.
    Awaited(oneshot::Sender<()>),
    /// The worker's end is gone.
    Abandoned,
}

impl Desk {
    pub(super) fn new(events: Sender<ConsumerEvent>, commands: Receiver<Command>) -> Self {
        Self {
            batch: Vec::new(),
            batch_bytes: 0,
            outbox: VecDeque::new(),
            events,
            commands,
            topics: Vec::new(),
            assigned: Vec::new(),
            held: HashSet::new(),
            stop: None,
        }
    }

    /// Takes a record; true while the batch has room for another.
    pub(super) fn take(&mut self, record: Polled) -> bool {
        self.batch_bytes += record.size();
        self.batch.push(record);
        self.batch.len() < BATCH_RECORDS && self.batch_bytes < BATCH_BYTES
    }

    /// Moves the batch to the outbox.
    pub(super) fn seal(&mut self) {
        if !self.batch.is_empty() {
            self.batch_bytes = 0;
            self.outbox.push_back(ConsumerEvent::Records(std::mem::take(&mut self.batch)));
        }
    }

    /// Sends what the channel has room for; true when nothing is left.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(event) = self.outbox.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.outbox.push_front(event);
                    return false;
                }
                Err(TrySendError::Closed(_)) => {
                    self.outbox.clear();
                    self.stop.get_or_insert(Stop::Abandoned);
                }
            }
        }
        true
    }

    /// New partitions: announced before their first record.
    pub(super) fn assign(&mut self, partitions: Vec<Partition>) {
        self.seal();
        self.assigned.extend(partitions.iter().cloned());
        self.outbox.push_back(ConsumerEvent::Assigned(partitions));
    }

    /// Partitions that go: their records still here are dropped, the next owner reads them. Returns what tells that the worker
    /// is done with them.
    pub(super) fn revoke(&mut self, partitions: Vec<Partition>, lost: bool) -> oneshot::Receiver<()> {
        self.seal();
        let goes = |record: &Polled| {
            partitions.iter().any(|gone| gone.partition == record.partition && gone.topic == record.topic)
        };
        for event in &mut self.outbox {
            if let ConsumerEvent::Records(records) = event {
                records.retain(|record| !goes(record));
            }
        }
        self.outbox.retain(|event| !matches!(event, ConsumerEvent::Records(records) if records.is_empty()));
        self.assigned.retain(|own| !partitions.contains(own));
        self.held.retain(|held| !partitions.contains(held));
        let (done, wait) = oneshot::channel();
        self.outbox.push_back(ConsumerEvent::Revoked(Revocation { partitions, lost, done: Some(done) }));
        wait
    }

    /// Waits for a command at most so long and returns what all that have come want.
    pub(super) fn commands(&mut self, wait: Duration) -> Orders {
        let mut orders = Orders::default();
        let mut next = if wait.is_zero() {
            self.commands.try_recv().map_err(|error| match error {
                std::sync::mpsc::TryRecvError::Empty => RecvTimeoutError::Timeout,
                std::sync::mpsc::TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            })
        } else {
            self.commands.recv_timeout(wait)
        };
        loop {
            match next {
                Ok(command) => self.note(command, &mut orders),
                Err(RecvTimeoutError::Timeout) => return orders,
                Err(RecvTimeoutError::Disconnected) => {
                    self.stop.get_or_insert(Stop::Abandoned);
                    return orders;
                }
            }
            next = self.commands.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        }
    }

    fn note(&mut self, command: Command, orders: &mut Orders) {
        match command {
            Command::Store(offsets) => {
                orders
                    .store
                    .extend(offsets.into_iter().map(|Stored { partition, next_offset }| (partition, next_offset)));
            }
            Command::Hold(partitions) => {
                for partition in partitions.into_iter().filter(|partition| self.assigned.contains(partition)) {
                    self.held.insert(partition.clone());
                    orders.flow.push((partition, Fetch::Stop));
                }
            }
            Command::Release(partitions) => {
                for partition in partitions {
                    if self.held.remove(&partition) {
                        orders.flow.push((partition, Fetch::Start));
                    }
                }
            }
            Command::Ends(partitions, answer) => orders.ends.push((partitions, answer)),
            Command::Stop(done) => self.stop = Some(Stop::Awaited(done)),
        }
    }

    /// Whether the worker wants nothing more of this partition for now.
    pub(super) fn holds(&self, topic: &str, partition: i32) -> bool {
        self.held.iter().any(|held| held.partition == partition && held.topic.as_ref() == topic)
    }

    pub(super) fn stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// The consumer has ended: tells whoever waits for it.
    pub(super) fn stopped(&mut self) {
        if let Some(Stop::Awaited(done)) = self.stop.take() {
            // Nobody listens any more when the caller's deadline has passed.
            let _gone = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn record(partition: i32, offset: i64) -> Polled {
        Polled { topic: "t".into(), partition, offset, timestamp_ms: 0, key: None, value: None, headers: Vec::new() }
    }

    fn partition(partition: i32) -> Partition {
        Partition { topic: "t".into(), partition }
    }

    fn desk(room: usize) -> (Desk, mpsc::Receiver<ConsumerEvent>, std::sync::mpsc::Sender<Command>) {
        let (events, out) = mpsc::channel(room);
        let (commands, commands_out) = std::sync::mpsc::channel();
        (Desk::new(events, commands_out), out, commands)
    }

    #[test]
    fn a_full_channel_keeps_the_order() {
        let (mut desk, mut out, _commands) = desk(1);
        for offset in 0..3 {
            desk.take(record(0, offset));
            desk.seal();
        }
        let mut seen = Vec::new();
        while !desk.flush() {
            match out.try_recv().expect("one is there") {
                ConsumerEvent::Records(records) => seen.extend(records.iter().map(|record| record.offset)),
                other => panic!("unexpected {other:?}"),
            }
        }
        assert_eq!(seen, [0, 1]);
    }

    #[test]
    fn nothing_of_a_revoked_partition_follows_its_revocation() {
        let (mut desk, mut out, _commands) = desk(8);
        desk.assign(vec![partition(0), partition(1)]);
        desk.take(record(0, 1));
        desk.seal();
        desk.take(record(0, 2));
        desk.take(record(1, 7));
        let mut wait = desk.revoke(vec![partition(0)], false);
        assert!(desk.flush());
        assert_eq!(desk.assigned, [partition(1)]);
        assert!(matches!(out.try_recv(), Ok(ConsumerEvent::Assigned(_))));
        match out.try_recv() {
            Ok(ConsumerEvent::Records(records)) => assert_eq!(records, [record(1, 7)]),
            other => panic!("unexpected {other:?}"),
        }
        assert!(wait.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        match out.try_recv() {
            Ok(ConsumerEvent::Revoked(revocation)) => revocation.done(),
            other => panic!("unexpected {other:?}"),
        }
        assert!(
            wait.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed),
            "dropped means done"
        );
    }

    #[test]
    fn a_batch_is_bounded_by_count_and_by_bytes() {
        let (mut desk, _out, _commands) = desk(1);
        assert!((1..BATCH_RECORDS).all(|_| desk.take(record(0, 0))));
        assert!(!desk.take(record(0, 0)));
        desk.seal();
        let big = Polled { value: Some(vec![0; BATCH_BYTES]), ..record(0, 0) };
        assert!(!desk.take(big));
    }

    #[test]
    fn only_own_partitions_are_held_and_only_until_they_go() {
        let (mut desk, _out, commands) = desk(8);
        desk.assign(vec![partition(0)]);
        commands.send(Command::Hold(vec![partition(0), partition(1)])).expect("open");
        commands.send(Command::Release(vec![partition(1)])).expect("open");
        assert_eq!(desk.commands(Duration::ZERO).flow, [(partition(0), Fetch::Stop)]);
        assert!(desk.holds("t", 0) && !desk.holds("t", 1));
        drop(desk.revoke(vec![partition(0)], false));
        assert!(!desk.holds("t", 0));
    }

    #[test]
    fn of_one_partition_the_last_offset_is_stored() {
        let (mut desk, _out, commands) = desk(1);
        let stored = |number, next_offset| Stored { partition: partition(number), next_offset };
        commands.send(Command::Store(vec![stored(0, 3), stored(1, 5)])).expect("open");
        commands.send(Command::Store(vec![stored(0, 4)])).expect("open");
        assert_eq!(desk.commands(Duration::ZERO).store, [(partition(0), 4), (partition(1), 5)].into());
    }

    #[test]
    fn a_worker_that_is_gone_stops_the_consumer() {
        let (mut desk, out, commands) = desk(1);
        drop(out);
        desk.take(record(0, 0));
        desk.seal();
        assert!(desk.flush());
        assert!(desk.stopping());
        drop(commands);
        assert!(desk.commands(Duration::ZERO).store.is_empty());
    }
}
