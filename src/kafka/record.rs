//! Records on their way to the log and back. Invariant: bytes pass through as they are, poisoned ones included.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

/// One record to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Topic; the partition follows from the key (murmur2, as Java, Flink and Connect do).
    pub topic: Arc<str>,
    /// Key: the account in the standard lane. Without one the partition is random.
    pub key: Option<Bytes>,
    /// Value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers in order; a value may be null.
    pub headers: Vec<(Cow<'static, str>, Option<Bytes>)>,
}

/// Where a published record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Partition of the record's topic.
    pub partition: i32,
    /// Offset within the partition.
    pub offset: i64,
}

/// Why a record has no placement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The log is known to be away; the record was not handed over.
    #[error("the log is away")]
    Away,
    /// The producer queue is full; the record was not handed over.
    #[error("the producer queue is full")]
    QueueFull,
    /// The record is larger than the log takes.
    #[error("the record is larger than the log takes")]
    TooLarge,
    /// No acknowledgement in time: the log may or may not have the record.
    #[error("no acknowledgement in time")]
    Unknown,
    /// The log answered no, e.g. because the topic does not exist; the record is not in the log.
    #[error("the log refused the record: {0}")]
    Refused(String),
}

/// Takes records to the log. A trait because tests need refusals that a real log will not give on demand.
pub trait Publish: Send + Sync {
    /// Hands the records over in order and waits for all of their acknowledgements, at most until `deadline`.
    ///
    /// The results stand in the order of the records, none missing. After the first record that finds the queue full the
    /// others are not tried, so that order holds. Dropping the future does not take back what was handed over.
    fn publish(&self, records: Vec<Record>, deadline: Instant) -> BoxFuture<'_, Vec<Result<Placement, PublishError>>>;
}

/// One record as the log gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition within the topic.
    pub partition: i32,
    /// Offset within the partition.
    pub offset: i64,
    /// Kafka's time of the record, 0 when it has none.
    pub timestamp_ms: i64,
    /// Key, if any.
    pub key: Option<Vec<u8>>,
    /// Value; `None` for a tombstone, which is something else than an empty value.
    pub value: Option<Vec<u8>>,
    /// Headers in order, duplicates included; a value may be null. Empty also when a header name is not UTF-8: the client
    /// library cannot read such headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Polled {
    /// Value of the last header of that name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|(key, _)| key == name).and_then(|(_, value)| value.as_deref())
    }

    /// Bytes it holds in memory, roughly.
    pub fn size(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len) + 48).sum();
        self.value.as_ref().map_or(0, Vec::len) + self.key.as_ref().map_or(0, Vec::len) + headers + 96
    }
}
