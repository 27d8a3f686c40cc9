//! Reading a topic from end to end, outside any group. Invariant: bounded memory and time; it reads up to the end it saw when it
//! began, so it ends on a topic that is still written to.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::config::KafkaConfig;

use super::consumer::polled;
use super::context::Quiet;
use super::record::Polled;
use super::settings;

/// Records that may wait for the reader.
const CHANNEL: usize = 256;

/// How long one question to the brokers may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Why a scan ended early.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// librdkafka refuses the settings.
    #[error("the reader cannot be made")]
    Settings(#[source] KafkaError),
    /// The brokers do not have the topic.
    #[error("the topic {0} does not exist")]
    NoTopic(String),
    /// The brokers failed us.
    #[error("the topic cannot be read")]
    Read(#[source] KafkaError),
    /// The deadline passed first.
    #[error("the end of the topic was not reached in time")]
    Deadline,
    /// The operating system gives no thread.
    #[error("the reader's thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Everything that is there now.
    All,
    /// One record.
    One {
        /// Its partition.
        partition: i32,
        /// Its offset.
        offset: i64,
    },
}

/// A running scan.
pub struct Scan {
    records: mpsc::Receiver<Result<Polled, ScanError>>,
}

impl Scan {
    /// Starts reading `span` of `topic` on a thread of its own, which ends at the span's end, at the deadline, or when this is
    /// dropped.
    ///
    /// # Errors
    /// [`ScanError::Thread`]; all else comes with [`Scan::next`].
    pub fn start(config: &KafkaConfig, topic: &str, span: Span, deadline: Duration) -> Result<Self, ScanError> {
        let (out, records) = mpsc::channel(CHANNEL);
        let reader = Reader { config: config.clone(), topic: topic.to_owned(), until: Instant::now() + deadline, out };
        std::thread::Builder::new()
            .name("weir-scan".to_owned())
            .spawn(move || reader.run(span))
            .map_err(ScanError::Thread)?;
        Ok(Self { records })
    }

    /// The next record, in order within each partition; `None` at the end.
    ///
    /// # Errors
    /// The [`ScanError`] that ended the scan; nothing follows it.
    pub async fn next(&mut self) -> Result<Option<Polled>, ScanError> {
        self.records.recv().await.transpose()
    }
}

struct Reader {
    config: KafkaConfig,
    topic: String,
    until: Instant,
    out: mpsc::Sender<Result<Polled, ScanError>>,
}

/// What is still to be read of one partition.
struct Left {
    partition: i32,
    end: i64,
}

impl Reader {
    fn run(self, span: Span) {
        if let Err(error) = self.read(span)
            && self.out.blocking_send(Err(error)).is_err()
        {
            tracing::debug!(topic = self.topic, "nobody waits for the scan any more");
        }
    }

    fn read(&self, span: Span) -> Result<(), ScanError> {
        let consumer: BaseConsumer<Quiet> =
            settings::scan(&self.config).create_with_context(Quiet).map_err(ScanError::Settings)?;
        let mut left = self.assign(&consumer, span)?;
        let mut topics: Vec<Arc<str>> = Vec::new();
        while !left.is_empty() {
            if Instant::now() >= self.until {
                return Err(ScanError::Deadline);
            }
            match consumer.poll(Duration::from_millis(50)) {
                None => {}
                // The end as it is now lies at or behind the end as it was.
                Some(Err(KafkaError::PartitionEOF(partition))) => left.retain(|left| left.partition != partition),
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(ScanError::Read(error)),
                Some(Ok(message)) => {
                    let record = polled(&message, &mut topics);
                    if self.forward(record, &mut left).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Assigns the partitions of the span that hold something and returns how far to read each.
    fn assign(&self, consumer: &BaseConsumer<Quiet>, span: Span) -> Result<Vec<Left>, ScanError> {
        let metadata = consumer.fetch_metadata(Some(&self.topic), ANSWER).map_err(ScanError::Read)?;
        let partitions: Vec<i32> = metadata
            .topics()
            .iter()
            .filter(|topic| topic.name() == self.topic)
            .flat_map(|topic| topic.partitions().iter().map(|partition| partition.id()))
            .collect();
        if partitions.is_empty() {
            return Err(ScanError::NoTopic(self.topic.clone()));
        }
        let (mut left, mut list) = (Vec::new(), TopicPartitionList::new());
        for partition in partitions {
            let (low, high) = consumer.fetch_watermarks(&self.topic, partition, ANSWER).map_err(ScanError::Read)?;
            let (from, end) = match span {
                Span::All => (low, high),
                Span::One { partition: wanted, offset } if wanted == partition && (low..high).contains(&offset) => {
                    (offset, offset + 1)
                }
                Span::One { .. } => continue,
            };
            if from < end {
                list.add_partition_offset(&self.topic, partition, Offset::Offset(from)).map_err(ScanError::Read)?;
                left.push(Left { partition, end });
            }
        }
        if !left.is_empty() {
            consumer.assign(&list).map_err(ScanError::Read)?;
        }
        Ok(left)
    }

    /// Passes a record on if it lies in the span; breaks when nobody listens.
    fn forward(&self, record: Polled, left: &mut Vec<Left>) -> ControlFlow<()> {
        let Some(at) = left.iter().position(|left| left.partition == record.partition) else {
            return ControlFlow::Continue(());
        };
        let end = left[at].end;
        if record.offset + 1 >= end {
            left.swap_remove(at);
        }
        if record.offset < end && self.out.blocking_send(Ok(record)).is_err() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// Errors librdkafka gets over by itself.
fn is_passing(error: &KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut | Code::Resolve)
    )
}
