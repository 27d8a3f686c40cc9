//! Records to the log. Invariant: memory in flight is bounded by the queue's limits, both layers of a result are checked
//! (hand-over and delivery), and no caller waits for a log that is known to be away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::metadata::MetadataPartition;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;
use tokio::time::Instant;

use crate::config::KafkaConfig;

use super::breaker::{Breaker, State};
use super::consumer::Partition;
use super::context::{Callbacks, Shared};
use super::metrics;
use super::pulse::Pulse;
use super::record::{Placement, Publish, PublishError, Record};
use super::tracker::{Ticket, Tracker, Verdict};
use super::{settings, watch};

/// How long a readiness probe waits for metadata; below the second that `telemetry::health` gives it.
const PROBE_DEADLINE: Duration = Duration::from_millis(800);

/// How long the brokers may take to tell which topics there are and where partitions begin and end: a stream that opens a little
/// late is worth more than none.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);

/// Why there is no producer, or no good one.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// librdkafka refuses the settings.
    #[error("the producer cannot be made")]
    Settings(#[source] KafkaError),
    /// The operating system gives no thread.
    #[error("the producer's watcher cannot be started")]
    Thread(#[source] std::io::Error),
    /// The log is away.
    #[error("the log is away")]
    Away,
    /// Brokers answer but acknowledge nothing.
    #[error("the brokers acknowledge nothing")]
    NoAcknowledgement,
    /// No broker answered.
    #[error("no broker answered")]
    Metadata(#[source] KafkaError),
    /// The brokers do not have the topic.
    #[error("the topic {0} does not exist")]
    NoTopic(String),
    /// No partition of the topic has a leader.
    #[error("the topic {0} has no leader")]
    NoLeader(String),
    /// All partitions of the topic have fewer replicas in sync than an acknowledgement needs.
    #[error("the topic {0} has too few replicas in sync")]
    TooFewReplicas(String),
    /// Records were still unacknowledged at the deadline.
    #[error("{0} records were still unacknowledged")]
    Unflushed(i32),
}

pub(super) type Inner = ThreadedProducer<Callbacks>;

/// The producer of this process.
pub struct Producer {
    pub(super) inner: ArcSwap<Inner>,
    pub(super) shared: Arc<Shared>,
    pub(super) config: KafkaConfig,
}

impl Producer {
    /// Makes the producer and its watcher. The log need not be there yet.
    ///
    /// # Errors
    /// [`ProducerError`] when the settings are refused.
    pub fn start(config: &KafkaConfig) -> Result<Arc<Self>, ProducerError> {
        metrics::announce_producer();
        let shared = Arc::new(Shared {
            pulse: Pulse::default(),
            breaker: Breaker::new(State::Closed),
            watcher: std::sync::OnceLock::new(),
        });
        let inner = make(config, &shared)?;
        let producer = Arc::new(Self { inner: ArcSwap::from_pointee(inner), shared, config: config.clone() });
        watch::start(&producer).map_err(ProducerError::Thread)?;
        Ok(producer)
    }

    /// Whether publishes are refused because the log is away.
    pub fn is_away(&self) -> bool {
        self.shared.breaker.state() == State::Open
    }

    /// Whether the log takes records of the event topic, for `/ready`.
    ///
    /// # Errors
    /// [`ProducerError`] says what is missing.
    pub async fn probe(&self) -> Result<(), ProducerError> {
        self.partitions().await.map(drop)
    }

    /// How many partitions the event topic has.
    ///
    /// # Errors
    /// [`ProducerError`] says what is missing.
    pub async fn partitions(&self) -> Result<i32, ProducerError> {
        let topic = self.config.kafka_topic.clone();
        self.on_client(move |inner| ask(inner, &topic, PROBE_DEADLINE)).await
    }

    /// The topics of events that exist, with their numbers of partitions.
    ///
    /// # Errors
    /// [`ProducerError`] when the brokers do not say.
    pub async fn event_topics(&self) -> Result<Vec<(String, i32)>, ProducerError> {
        let config = self.config.clone();
        self.on_client(move |inner| {
            let metadata = inner.client().fetch_metadata(None, LOOK_DEADLINE).map_err(ProducerError::Metadata)?;
            let ours = metadata.topics().iter().filter(|topic| config.holds_events(topic.name()));
            let counted = ours.map(|topic| {
                let partitions = i32::try_from(topic.partitions().len()).unwrap_or(0);
                (topic.name().to_owned(), partitions)
            });
            Ok(counted.filter(|(_, partitions)| *partitions > 0).collect())
        })
        .await
    }

    /// First and next offset of each of these partitions.
    ///
    /// # Errors
    /// [`ProducerError`] when the brokers do not say all of them within five seconds.
    pub async fn ends(&self, partitions: Vec<Partition>) -> Result<Vec<(Partition, i64, i64)>, ProducerError> {
        let until = std::time::Instant::now() + LOOK_DEADLINE;
        self.on_client(move |inner| {
            let ends = partitions.into_iter().map(|partition| {
                let left = until.saturating_duration_since(std::time::Instant::now());
                let asked = inner.client().fetch_watermarks(&partition.topic, partition.partition, left);
                asked.map(|(first, next)| (partition, first, next)).map_err(ProducerError::Metadata)
            });
            ends.collect()
        })
        .await
    }

    /// Asks the brokers on a thread that may block.
    async fn on_client<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Inner) -> Result<T, ProducerError> + Send + 'static,
    ) -> Result<T, ProducerError> {
        if self.is_away() {
            return Err(ProducerError::Away);
        }
        let inner = self.inner.load_full();
        tokio::task::spawn_blocking(move || ask(&inner)).await.unwrap_or(Err(ProducerError::Away))
    }

    /// Waits until everything handed over is acknowledged or failed, for shutdown.
    ///
    /// # Errors
    /// [`ProducerError::Unflushed`] at the deadline.
    pub async fn flush(&self, deadline: Instant) -> Result<(), ProducerError> {
        let inner = self.inner.load_full();
        let left = deadline.saturating_duration_since(Instant::now());
        let flushed = tokio::task::spawn_blocking(move || {
            inner.flush(Timeout::After(left)).map_err(|_| ProducerError::Unflushed(inner.in_flight_count()))
        });
        flushed.await.unwrap_or(Err(ProducerError::Unflushed(0)))
    }

    /// Hands the records over; the tracker's slots of those that were not taken are settled at once.
    fn hand_over(&self, records: &[Record]) -> Arc<Tracker> {
        let tracker = Tracker::new(records.len());
        let inner = self.inner.load();
        let mut full = false;
        for (index, record) in records.iter().enumerate() {
            if full {
                tracker.ticket(index).settle(Verdict::QueueFull);
                continue;
            }
            // Counted before, so that the callback cannot settle what was never sent.
            self.shared.pulse.sent.fetch_add(1, Ordering::Relaxed);
            let Err((error, returned)) = inner.send(to_library(record, tracker.ticket(index))) else { continue };
            self.shared.pulse.sent.fetch_sub(1, Ordering::Relaxed);
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::InvalidArgument);
            full = code == RDKafkaErrorCode::QueueFull;
            returned.delivery_opaque.settle(self.not_taken(code));
        }
        tracker
    }

    /// Verdict on a record that librdkafka did not take: certainly not in the log.
    fn not_taken(&self, code: RDKafkaErrorCode) -> Verdict {
        match Verdict::of(code) {
            Verdict::Unknown if code == RDKafkaErrorCode::Fatal => {
                self.shared.pulse.fatal.store(true, Ordering::Relaxed);
                self.shared.wake_watcher();
                Verdict::Away
            }
            Verdict::Unknown => Verdict::Refused,
            verdict => verdict,
        }
    }

    async fn publish_all(&self, records: Vec<Record>, deadline: Instant) -> Vec<Result<Placement, PublishError>> {
        if !self.shared.breaker.admits() {
            metrics::publish_failed(&PublishError::Away, records.len());
            return records.iter().map(|_| Err(PublishError::Away)).collect();
        }
        let started = Instant::now();
        let tracker = self.hand_over(&records);
        drop(records);
        if tokio::time::timeout_at(deadline, tracker.settled()).await.is_ok() {
            metrics::settled(started.elapsed());
        }
        let results = tracker.results();
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            metrics::publish_failed(error, 1);
        }
        results
    }
}

impl Publish for Producer {
    fn publish(&self, records: Vec<Record>, deadline: Instant) -> BoxFuture<'_, Vec<Result<Placement, PublishError>>> {
        self.publish_all(records, deadline).boxed()
    }
}

/// A new producer of librdkafka's with our callbacks.
pub(super) fn make(config: &KafkaConfig, shared: &Arc<Shared>) -> Result<Inner, ProducerError> {
    settings::producer(config).create_with_context(Callbacks(Arc::clone(shared))).map_err(ProducerError::Settings)
}

/// Asks any broker about the topic and answers how many partitions it has; blocks, at most for `deadline`.
pub(super) fn ask(inner: &Inner, topic: &str, deadline: Duration) -> Result<i32, ProducerError> {
    let metadata = inner.client().fetch_metadata(Some(topic), deadline).map_err(ProducerError::Metadata)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found {
        Some(found) if found.partitions().iter().any(takes_records) => {
            i32::try_from(found.partitions().len()).map_err(|_| ProducerError::NoTopic(topic.to_owned()))
        }
        Some(found) if found.partitions().iter().any(|partition| partition.leader() >= 0) => {
            Err(ProducerError::TooFewReplicas(topic.to_owned()))
        }
        Some(found) if found.error().is_none() => Err(ProducerError::NoLeader(topic.to_owned())),
        _ => Err(ProducerError::NoTopic(topic.to_owned())),
    }
}

/// Whether it has a leader and, of three replicas or more, the two in sync that an acknowledgement stands for.
fn takes_records(partition: &MetadataPartition) -> bool {
    partition.leader() >= 0 && (partition.replicas().len() < 3 || partition.isr().len() >= 2)
}

fn to_library(record: &Record, ticket: Box<Ticket>) -> BaseRecord<'_, [u8], [u8], Box<Ticket>> {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: value.as_deref() });
    }
    let mut message = BaseRecord::with_opaque_to(&record.topic, ticket).headers(headers);
    message.key = record.key.as_deref();
    message.payload = record.value.as_deref();
    message
}
