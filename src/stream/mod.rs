//! Live streams, from the log to those who watch:
//!
//! 1. [`places`]: how many there may be, and how many catch up;
//! 2. [`tail`]: one reader of new records for all, of watched partitions only, which drops by key before it decodes;
//! 3. [`watcher`]: one client's bounded queue;
//! 4. [`catch_up`]: at most four readers of old records for those who resume, two of them of one account, which hand over to the tail;
//! 5. [`session`]: frames with the id to resume from ([`frame`], [`position`]).
//!
//! Invariant: a client sees only events of the account of its token; of each partition of that account every event in order,
//! or a frame that says which are missing and how to get them.

mod catch_up;
mod frame;
mod metrics;
mod places;
mod position;
mod session;
mod tail;
mod watcher;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use frame::{End, Frame, Kind, StreamFilter};
pub use session::Session;

use crate::config::{KafkaConfig, StreamConfig};
use crate::domain::id::AccountId;
use crate::domain::lane::Lane;
use crate::domain::partitioner::Topics;
use crate::domain::receipt::ReceiptSealer;
use crate::domain::time::Timestamp;
use crate::kafka::{FollowError, Partition, Producer, ProducerError};
use places::Places;
use position::Position;
use session::{Common, Terms};
use tail::Tail;
use watcher::Watcher;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The position was not given to this account.
    #[error("not a position this service gave to this account")]
    Position,
    /// No topic of that name carries events.
    #[error("no topic of this name carries events")]
    Topic,
    /// The account has as many streams as it may.
    #[error("this account has {0} streams open, which is all it may have")]
    Concurrent(usize),
    /// The process has as many streams as it may.
    #[error("this service has as many streams open as it may have")]
    Full,
    /// The log is away, or not known yet.
    #[error("the log does not answer")]
    Away(#[source] Option<ProducerError>),
    /// The reader cannot be made.
    #[error("the log cannot be followed")]
    Follow(#[source] FollowError),
}

/// The live streams of one process.
pub struct Streams {
    common: Arc<Common>,
    producer: Arc<Producer>,
    places: Places,
    config: StreamConfig,
    closing: OnceLock<CancellationToken>,
}

/// What a client asks for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which events.
    pub filter: StreamFilter,
    /// The id of the last frame it has; from the end of the log without.
    pub after: Option<String>,
    /// When its token expires.
    pub expires_at: Timestamp,
}

impl Streams {
    /// No stream yet, and no reader.
    pub fn new(
        config: &StreamConfig,
        kafka: &KafkaConfig,
        producer: Arc<Producer>,
        topics: Topics,
        sealer: ReceiptSealer,
    ) -> Self {
        metrics::announce();
        let common = Common { tail: Tail::new(kafka), topics, sealer, config: kafka.clone() };
        Self {
            common: Arc::new(common),
            producer,
            places: Places::new(config.streams, config.streams_per_account),
            config: config.clone(),
            closing: OnceLock::new(),
        }
    }

    /// Ends every stream with that token; the first token stays.
    pub fn end_with(&self, closing: CancellationToken) {
        self.closing.get_or_init(|| closing);
    }

    /// Opens a stream of the account's events.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn open(&self, account: &AccountId, wanted: Wanted, now: Timestamp) -> Result<Session, StreamError> {
        let place = self.places.take(account)?;
        let after = match &wanted.after {
            Some(shown) => Some(Position::open(&self.common.sealer, account, shown).ok_or(StreamError::Position)?),
            None => None,
        };
        if !self.common.topics.is_known() {
            // Just started: the first to ask need not wait for the next look.
            self.common
                .topics
                .learn(self.producer.event_topics().await.map_err(|error| StreamError::Away(Some(error)))?);
        }
        let partitions = self.partitions(account, wanted.filter.topic.as_deref())?;
        let ends = self.producer.ends(partitions.clone()).await.map_err(|error| StreamError::Away(Some(error)))?;
        let (watcher, events) = Watcher::new(account.clone(), wanted.filter);
        let watcher = Arc::new(watcher);
        let entry = self.common.tail.enter(&watcher, &ends, after.as_ref())?;
        let terms = self.terms(wanted.expires_at, now);
        Ok(Session::new(&self.common, (watcher, events), (entry, partitions), terms, place))
    }

    /// Where the account's events may come, of one topic and its bulk lane or of all.
    fn partitions(&self, account: &AccountId, topic: Option<&str>) -> Result<Vec<Partition>, StreamError> {
        let all = self.common.topics.homes(account).ok_or(StreamError::Away(None))?;
        let own = |name: &str| topic.is_none_or(|topic| Lane::base(name) == Lane::base(topic));
        let homes: Vec<Partition> = all
            .into_iter()
            .filter(|(name, _)| own(name))
            .map(|(topic, partition)| Partition { topic, partition })
            .collect();
        if homes.is_empty() { Err(StreamError::Topic) } else { Ok(homes) }
    }

    fn terms(&self, expires_at: Timestamp, now: Timestamp) -> Terms {
        let longest = Duration::from_secs(self.config.stream_seconds);
        let valid = Duration::from_micros(u64::try_from(expires_at.micros_since(now)).unwrap_or(0));
        Terms {
            until: Instant::now() + valid.min(longest),
            end: if valid < longest { End::TokenExpired } else { End::MaxAge },
            closing: self.closing.get().cloned().unwrap_or_default(),
            heartbeat: Duration::from_secs(self.config.stream_heartbeat_seconds),
        }
    }
}
