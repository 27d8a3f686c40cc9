//! What the consumer's thread and the worker say to each other. Invariant: events of one partition reach the worker in order,
//! a revocation after all records that came before it.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::kafka::record::Polled;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition within the topic.
    pub partition: i32,
}

/// From where a partition is to be read on after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Which partition.
    pub partition: Partition,
    /// First offset that is not done: the last done one plus one.
    pub next_offset: i64,
}

/// What the worker gets.
#[derive(Debug)]
pub enum ConsumerEvent {
    /// Records, in order within each partition; never empty.
    Records(Vec<Polled>),
    /// These partitions are this worker's from now on; their records follow.
    Assigned(Vec<Partition>),
    /// These partitions are no longer this worker's.
    Revoked(Revocation),
}

/// Partitions that go to another worker. The consumer waits a few seconds for the worker to drop or finish what it holds of
/// them, to [`ConsumerHandle::store`](super::ConsumerHandle::store) what is done, and then to call [`Revocation::done`] (or to
/// drop this); afterwards it commits.
#[derive(Debug)]
pub struct Revocation {
    /// The partitions.
    pub partitions: Vec<Partition>,
    /// They were lost (session timed out): another worker may read them already, storing offsets is useless.
    pub lost: bool,
    pub(super) done: Option<oneshot::Sender<()>>,
}

impl Revocation {
    /// The worker holds nothing of these partitions any more.
    pub fn done(mut self) {
        drop(self.done.take());
    }

    /// A revocation that nobody waits for, for tests of the worker.
    pub fn unattended(partitions: Vec<Partition>, lost: bool) -> Self {
        Self { partitions, lost, done: None }
    }
}

/// Where a partition begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The partition.
    pub partition: Partition,
    /// Offset the next record will get.
    pub end: i64,
    /// Offset of the oldest record that is kept; equal to `end` when there is none.
    pub start: i64,
    /// What the group has committed, if anything.
    pub committed: Option<i64>,
}

impl End {
    /// Records the group has not committed: all that are kept where it has committed nothing.
    pub(super) fn waiting(&self) -> i64 {
        (self.end - self.committed.unwrap_or(self.start).max(self.start)).max(0)
    }
}

/// What the thread is told.
pub(super) enum Command {
    Store(Vec<Stored>),
    Hold(Vec<Partition>),
    Release(Vec<Partition>),
    Ends(Vec<Partition>, oneshot::Sender<Vec<End>>),
    Stop(oneshot::Sender<()>),
}
