//! The one reader of new records, and who watches what. Invariant: a partition is read only while somebody watches it; a record
//! is decoded only when somebody watches its account; and whoever joins at an offset the tail has not passed misses nothing.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::frame::{self, Passing};
use super::position::Position;
use super::watcher::Watcher;
use super::{StreamError, metrics};
use crate::config::KafkaConfig;
use crate::domain::id::AccountId;
use crate::kafka::{Follower, Partition, Sighting, Turn};

/// A partition that is read.
struct Standing {
    next: i64,
    watchers: usize,
}

#[derive(Default)]
struct Table {
    partitions: HashMap<Partition, Standing>,
    watchers: HashMap<String, Vec<Arc<Watcher>>>,
    follower: Option<Follower>,
}

/// Everybody who watches, and the reader that serves them.
pub(super) struct Tail {
    table: Mutex<Table>,
    config: KafkaConfig,
}

impl Tail {
    pub(super) fn new(config: &KafkaConfig) -> Arc<Self> {
        Arc::new(Self { table: Mutex::default(), config: config.clone() })
    }

    /// Adds a watcher. `ends` are the first and the next offset of its partitions, asked just before; `after` is where it wants
    /// to go on, the end for a new one. Answers from where on it starts, and what it has to catch up with before the tail
    /// serves it.
    pub(super) fn enter(
        self: &Arc<Self>,
        watcher: &Arc<Watcher>,
        ends: &[(Partition, i64, i64)],
        after: Option<&Position>,
    ) -> Result<Entry, StreamError> {
        let mut table = self.table.lock();
        if table.follower.is_none() {
            let tail = Arc::clone(self);
            let reader = move |turn: Turn<'_>| {
                if let Turn::Record(sighting) = turn {
                    tail.pass(sighting);
                }
                ControlFlow::Continue(())
            };
            table.follower = Some(Follower::start(&self.config, reader).map_err(StreamError::Follow)?);
        }
        let mut entry = Entry::default();
        let mut unread = Vec::new();
        for (partition, first, end) in ends {
            let standing = table.partitions.entry(partition.clone()).or_insert_with(|| {
                unread.push((partition.clone(), *end));
                Standing { next: *end, watchers: 0 }
            });
            standing.watchers += 1;
            // A partition the client has not heard of was made after its position: it begins at its beginning.
            let wanted = after.map_or(standing.next, |after| after.get(partition).unwrap_or(*first));
            let start = if wanted < *first || wanted > standing.next.max(*end) {
                entry.lost = true;
                wanted.max(*first).min(standing.next.max(*first))
            } else {
                wanted
            };
            entry.start.advance(partition, start);
            if standing.next <= start {
                watcher.join(partition, start);
            } else {
                watcher.reached(partition, start);
                entry.behind.push((partition.clone(), start));
            }
        }
        if let Some(follower) = table.follower.as_ref().filter(|_| !unread.is_empty()) {
            follower.follow(unread);
        }
        table.watchers.entry(watcher.account.as_str().to_owned()).or_default().push(Arc::clone(watcher));
        Ok(entry)
    }

    /// Removes a watcher of those partitions.
    pub(super) fn leave(&self, watcher: &Arc<Watcher>, partitions: &[Partition]) {
        let mut table = self.table.lock();
        let account = watcher.account.as_str();
        if let Some(watchers) = table.watchers.get_mut(account) {
            watchers.retain(|other| !Arc::ptr_eq(other, watcher));
            if watchers.is_empty() {
                table.watchers.remove(account);
            }
        }
        let mut unwatched = Vec::new();
        for partition in partitions {
            let Some(standing) = table.partitions.get_mut(partition) else { continue };
            standing.watchers -= 1;
            if standing.watchers == 0 {
                table.partitions.remove(partition);
                unwatched.push(partition.clone());
            }
        }
        if let Some(follower) = table.follower.as_ref().filter(|_| !unwatched.is_empty()) {
            follower.leave(unwatched);
        }
    }

    /// Lets the tail serve `watcher` from `next` on, if it has not passed that offset.
    pub(super) fn join(&self, watcher: &Watcher, partition: &Partition, next: i64) -> bool {
        let table = self.table.lock();
        let joins = table.partitions.get(partition).is_some_and(|standing| standing.next <= next);
        if joins {
            watcher.join(partition, next);
        }
        joins
    }

    /// How far everything that was pushed to the watcher reaches.
    pub(super) fn progress(&self, watcher: &Watcher) -> Position {
        let table = self.table.lock();
        watcher.progress(|partition| table.partitions.get(partition).map(|standing| standing.next))
    }

    /// Ends the gap of a watcher whose queue is empty: how many events it has lost, and from where on it gets them again.
    pub(super) fn close_gap(&self, watcher: &Watcher) -> (u64, Position) {
        let table = self.table.lock();
        let dropped = watcher.close_gap();
        (dropped, watcher.progress(|partition| table.partitions.get(partition).map(|standing| standing.next)))
    }

    /// One record, on the reader's thread.
    fn pass(&self, mut sighting: Sighting<'_>) {
        let mut table = self.table.lock();
        let partition = Partition { topic: sighting.topic().into(), partition: sighting.partition() };
        let offset = sighting.offset();
        let Some(standing) = table.partitions.get_mut(&partition) else { return };
        standing.next = offset + 1;
        let account = frame::account_of(&partition.topic, sighting.key());
        let Some(watchers) = account.and_then(|account| table.watchers.get(account)) else { return };
        let record = sighting.copy();
        let Some(event) = watchers.first().and_then(|watcher| frame::read(&record, &watcher.account)) else { return };
        let bytes = Bytes::copy_from_slice(record.value.as_deref().unwrap_or_default());
        let passing = Passing { partition, offset, record: bytes };
        for watcher in watchers {
            if !watcher.offer(&event, &passing) {
                metrics::dropped();
            }
        }
    }
}

/// How a watcher starts.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) start: Position,
    /// Partitions to catch up with, each from this offset.
    pub(super) behind: Vec<(Partition, i64)>,
    /// Some of what it wants is not in the log any more.
    pub(super) lost: bool,
}

/// Whether that record is one this account may see; what the tail does on the way, for the catch-up.
pub(super) fn select(sighting: &mut Sighting<'_>, account: &AccountId, watcher: &Watcher) -> Option<Passing> {
    if frame::account_of(sighting.topic(), sighting.key()) != Some(account.as_str()) {
        return None;
    }
    let record = sighting.copy();
    let event = frame::read(&record, account)?;
    watcher.filter.takes(&event).then(|| Passing {
        partition: Partition { topic: record.topic.clone(), partition: record.partition },
        offset: record.offset,
        record: Bytes::copy_from_slice(record.value.as_deref().unwrap_or_default()),
    })
}
