//! librdkafka's callbacks of the consumer. Invariant: a partition is given up only after the worker let go of it or had its
//! time to, and its offsets are committed before the next owner starts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use crate::kafka::context::log_library_line;
use crate::kafka::metrics::{self, ConsumerFault, Rebalanced};

use super::convert::intern;
use super::desk::{Desk, Fetch, Orders};
use super::ends;
use super::event::Partition;

/// How long the worker has to let go of revoked partitions.
const REVOKE_DEADLINE: Duration = Duration::from_secs(5);

/// How long the revocation waits between looks.
const LOOK: Duration = Duration::from_millis(2);

/// The consumer's callbacks; they run on the polling thread, inside `poll`.
pub(super) struct Callbacks(pub(super) Arc<Mutex<Desk>>);

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_library_line(level, facility, message);
    }

    /// The polling thread gets the same error as the result of its poll and speaks of it there.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "consumer error");
    }
}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            self.revoke(consumer, list);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) if list.count() > 0 => {
                // librdkafka remembers a pause beyond the revocation: a partition that comes back would never be fetched again.
                if let Err(error) = consumer.resume(list) {
                    tracing::warn!(%error, "partitions that came back may still be paused");
                }
                let mut desk = self.0.lock();
                let partitions = partitions(list, &mut desk);
                tracing::info!(partitions = partitions.len(), "partitions assigned");
                metrics::rebalanced(Rebalanced::Assigned);
                desk.assign(partitions);
            }
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
            Rebalance::Assign(_) | Rebalance::Revoke(_) => {}
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        note_commit(result);
    }
}

impl Callbacks {
    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let lost = consumer.assignment_lost();
        let mut desk = self.0.lock();
        let partitions = partitions(list, &mut desk);
        if partitions.is_empty() {
            return;
        }
        tracing::info!(partitions = partitions.len(), lost, "partitions revoked");
        metrics::rebalanced(if lost { Rebalanced::Lost } else { Rebalanced::Revoked });
        for partition in &partitions {
            metrics::forget_lag(&partition.topic, partition.partition);
        }
        let mut done = desk.revoke(partitions, lost);
        let until = Instant::now() + REVOKE_DEADLINE;
        loop {
            desk.flush();
            let orders = desk.commands(LOOK);
            obey(consumer, orders);
            let still_held = matches!(done.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty));
            // Waiting for lost partitions would gain nothing: another worker reads them already. A worker that stops has
            // finished its batches before it said so.
            if !still_held || lost || desk.stopping() || Instant::now() >= until {
                break;
            }
        }
        drop(desk);
        if !lost {
            note_commit(consumer.commit_consumer_state(CommitMode::Sync));
        }
    }
}

/// Does what the worker wants.
pub(super) fn obey(consumer: &BaseConsumer<Callbacks>, orders: Orders) {
    store(consumer, orders.store);
    for (partition, fetch) in orders.flow {
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition);
        let changed = if fetch == Fetch::Stop { consumer.pause(&list) } else { consumer.resume(&list) };
        if let Err(error) = changed {
            tracing::debug!(%error, ?fetch, "a partition that was taken away is neither paused nor resumed");
        }
    }
    for (partitions, answer) in orders.ends {
        // Nobody waits any more when the worker's patience has ended.
        let _gone = answer.send(ends::ask(consumer, partitions));
    }
}

/// Stores offsets for librdkafka's committer. Those of partitions that were taken away are refused by the library.
fn store(consumer: &BaseConsumer<Callbacks>, offsets: HashMap<Partition, i64>) {
    if offsets.is_empty() {
        return;
    }
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (Partition { topic, partition }, next) in &offsets {
        if let Err(error) = list.add_partition_offset(topic, *partition, Offset::Offset(*next)) {
            tracing::error!(%error, %topic, partition, "offset cannot be stored");
        }
    }
    if let Err(error) = consumer.store_offsets(&list) {
        metrics::consumer_failed(ConsumerFault::Store);
        tracing::debug!(%error, "offsets of partitions that were taken away are not stored");
    }
}

pub(super) fn note_commit(result: KafkaResult<()>) {
    match result {
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
        Err(error) => {
            metrics::consumer_failed(ConsumerFault::Commit);
            tracing::warn!(%error, "offsets were not committed; they are tried again or read again");
        }
    }
}

fn partitions(list: &TopicPartitionList, desk: &mut Desk) -> Vec<Partition> {
    list.elements()
        .iter()
        .map(|element| Partition { topic: intern(element.topic(), &mut desk.topics), partition: element.partition() })
        .collect()
}
