//! krafka behind the service's trait. Invariant: what the log may hold is never called refused: only what krafka says was never
//! written is, all else without a placement is unknown.

use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use krafka::error::ErrorCode;
use krafka::producer::{Acks, DeliveryHandle, Producer};
use krafka::{Compression, Kafka, KrafkaError, Record};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use weir::config::KafkaConfig;
use weir::kafka::{self, Placement, Publish, PublishError};

/// The service's `batch.size` is librdkafka's default; krafka's own would be 16 KiB.
const BATCH_BYTES: usize = 1_000_000;

/// A producer of krafka's.
pub(super) struct Pure {
    producer: Producer,
    /// Held while a call is handed over: krafka forgets its topics when no broker is left, hand-overs wait then, and those that
    /// wait together would go on in any order.
    turn: Mutex<()>,
}

impl Pure {
    /// Connects, since krafka makes no client without a broker, and learns of the topic.
    pub(super) async fn start(config: &KafkaConfig, within: Duration) -> anyhow::Result<Self> {
        let linger = Duration::from_millis(u64::from(config.kafka_linger_ms));
        let delivery = config.ack_timeout() * 9 / 10;
        // It wants room for a whole request within the delivery's time.
        let request = delivery.saturating_sub(linger);
        let compression = match config.kafka_compression.as_str() {
            "none" => Compression::None,
            "lz4" => Compression::Lz4,
            other => anyhow::bail!("krafka is tried with lz4 or none, not {other}"),
        };
        let client = Kafka::builder(&config.kafka_server)
            .client_id("weir")
            .request_timeout(request)
            .connect_timeout(request.min(Duration::from_secs(1)))
            .metadata_topic_cache_ttl(None);
        let client = timeout(within, client.connect()).await.context("krafka found no broker in time")??;
        let producer = client
            .producer()
            .acks(Acks::All)
            .idempotent(true)
            .compression(compression)
            .batch_size(BATCH_BYTES)
            .linger(linger)
            .delivery_timeout(delivery)
            .retry_backoff(Duration::from_millis(50))
            .max_block(delivery)
            .buffer_memory(usize::try_from(config.kafka_queue_kib)? * 1_024);
        let producer = timeout(within, producer.build()).await.context("krafka got no producer id in time")??;
        timeout(within, producer.partitions_for(&config.kafka_topic))
            .await
            .context("the topic as krafka sees it")??;
        Ok(Self { producer, turn: Mutex::new(()) })
    }

    /// Queues the records in their order; the first that finds no place ends it for the others.
    async fn hand_over(
        &self,
        records: Vec<kafka::Record>,
        deadline: Instant,
    ) -> Vec<Result<DeliveryHandle, PublishError>> {
        let count = records.len();
        let mut taken = Vec::with_capacity(count);
        let turn = timeout_at(deadline, self.turn.lock()).await;
        let mut stopped = turn.as_ref().err().map(|_| PublishError::Away);
        for record in records {
            if stopped.is_some() {
                break;
            }
            // Tokio's budget would make a hand-over wait that has nothing to wait for.
            let queued = tokio::task::unconstrained(self.producer.enqueue(to_library(record)));
            let result = match timeout_at(deadline, queued).await {
                Ok(result) => result.map_err(|error| not_taken(&error)),
                Err(_) => Err(PublishError::Away),
            };
            stopped = result.as_ref().err().filter(|error| ends_the_call(error)).cloned();
            taken.push(result);
        }
        let left = count - taken.len();
        taken.extend(stopped.into_iter().flat_map(|error| std::iter::repeat_n(error, left)).map(Err));
        taken
    }

    async fn publish_all(
        &self,
        records: Vec<kafka::Record>,
        deadline: Instant,
    ) -> Vec<Result<Placement, PublishError>> {
        let mut results = Vec::with_capacity(records.len());
        for handle in self.hand_over(records, deadline).await {
            results.push(match handle {
                Err(error) => Err(error),
                Ok(handle) => match timeout_at(deadline, handle).await {
                    Err(_) => Err(PublishError::Unknown),
                    Ok(Err(error)) => Err(not_delivered(&error)),
                    Ok(Ok(told)) if told.is_success() => {
                        Ok(Placement { partition: told.partition, offset: told.offset })
                    }
                    // In the log, but nobody says where: no receipt.
                    Ok(Ok(_)) => Err(PublishError::Unknown),
                },
            });
        }
        results
    }
}

/// Whether records behind this one would meet the same, or overtake it.
fn ends_the_call(error: &PublishError) -> bool {
    matches!(error, PublishError::QueueFull | PublishError::Away)
}

impl Publish for Pure {
    fn publish(
        &self,
        records: Vec<kafka::Record>,
        deadline: Instant,
    ) -> BoxFuture<'_, Vec<Result<Placement, PublishError>>> {
        self.publish_all(records, deadline).boxed()
    }
}

fn to_library(record: kafka::Record) -> Record {
    let library = match record.value {
        Some(value) => Record::new(&*record.topic, value),
        None => Record::new(&*record.topic, Vec::new()).without_value(),
    };
    let library = match record.key {
        Some(key) => library.key(key),
        None => library,
    };
    record.headers.into_iter().fold(library, |library, (name, value)| match value {
        Some(value) => library.header(name, value),
        None => library.null_header(name),
    })
}

/// A record that krafka did not take: certainly not in the log.
fn not_taken(error: &KrafkaError) -> PublishError {
    match error {
        // Room in the queue did not come in time, or the topic did not: krafka says both in the same way.
        KrafkaError::Timeout { .. } => PublishError::QueueFull,
        // Also said of a record that is larger than a request may be.
        KrafkaError::Config { .. } => PublishError::TooLarge,
        KrafkaError::UnknownTopic { .. } | KrafkaError::Broker { .. } => PublishError::Refused(error.to_string()),
        _ => PublishError::Away,
    }
}

/// A record that was taken and not acknowledged.
fn not_delivered(error: &KrafkaError) -> PublishError {
    match error {
        KrafkaError::DeliveryTimeout { possibly_written: false, .. } => PublishError::Away,
        KrafkaError::Broker { code: ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge, .. } => {
            PublishError::TooLarge
        }
        KrafkaError::Broker {
            code:
                ErrorCode::UnknownTopicOrPartition
                | ErrorCode::TopicAuthorizationFailed
                | ErrorCode::InvalidRecord
                | ErrorCode::InvalidTimestamp
                | ErrorCode::UnsupportedCompressionType,
            ..
        } => PublishError::Refused(error.to_string()),
        _ => PublishError::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_never_written_counts_as_away() {
        let timed_out = |possibly_written| KrafkaError::delivery_timeout(possibly_written, "late");
        assert_eq!(not_delivered(&timed_out(false)), PublishError::Away);
        assert_eq!(not_delivered(&timed_out(true)), PublishError::Unknown);
        assert_eq!(not_delivered(&KrafkaError::closed("gone")), PublishError::Unknown);
    }

    #[test]
    fn answers_that_leave_the_log_in_doubt_are_unknown() {
        for code in [ErrorCode::NotEnoughReplicas, ErrorCode::NotEnoughReplicasAfterAppend, ErrorCode::RequestTimedOut]
        {
            assert_eq!(not_delivered(&KrafkaError::broker(code, "")), PublishError::Unknown, "{code:?}");
        }
    }
}
