//! Records from the log to the worker: a thread of its own polls, batches and hands over on a bounded channel; the worker
//! stores offsets when its write is committed. Invariant: an offset is committed only after the worker stored it, and while
//! the worker cannot keep up memory is bounded by the channel plus librdkafka's fetch-ahead.

mod context;
mod convert;
mod desk;
mod ends;
mod event;
mod run;

use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::config::KafkaConfig;

pub(super) use convert::polled;
pub use event::{ConsumerEvent, End, Partition, Revocation, Stored};

use event::Command;

/// Batches that may wait for the worker.
const CHANNEL_BATCHES: usize = 4;

/// Why the consumer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// librdkafka refuses the settings.
    #[error("the consumer cannot be made")]
    Settings(#[source] rdkafka::error::KafkaError),
    /// The subscription was refused.
    #[error("the consumer cannot subscribe")]
    Subscribe(#[source] rdkafka::error::KafkaError),
    /// The operating system gives no thread.
    #[error("the consumer's thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// The worker's end of the consumer.
pub struct Consumer {
    events: mpsc::Receiver<ConsumerEvent>,
    handle: ConsumerHandle,
}

/// Commands to the consumer's thread. Cheap to clone.
#[derive(Clone)]
pub struct ConsumerHandle {
    commands: std_mpsc::Sender<Command>,
}

impl Consumer {
    /// Joins the group and starts polling the event topic, its bulk lane and `extra` topics (exact names).
    ///
    /// # Errors
    /// [`ConsumerError`] when the settings are refused. Brokers that are away are no error: the thread waits for them.
    pub fn start(config: &KafkaConfig, extra: &[String]) -> Result<Self, ConsumerError> {
        let (events_in, events) = mpsc::channel(CHANNEL_BATCHES);
        let (commands, commands_out) = std_mpsc::channel();
        let topics = subscription(config, extra);
        run::start(config, topics, events_in, commands_out)?;
        Ok(Self { events, handle: ConsumerHandle { commands } })
    }

    /// The next batch or change of partitions; `None` once the thread has ended after [`ConsumerHandle::stop`].
    pub async fn next(&mut self) -> Option<ConsumerEvent> {
        self.events.recv().await
    }

    /// The commanding end.
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }
}

impl ConsumerHandle {
    /// Stores offsets to be committed within a second, and at once when their partition is revoked or the consumer stops.
    /// Never blocks. Offsets of partitions that were taken away meanwhile are ignored: their new owner reads on from what
    /// was committed, and the event id absorbs the rest.
    pub fn store(&self, offsets: Vec<Stored>) {
        self.send(Command::Store(offsets));
    }

    /// Stops fetching these partitions until [`ConsumerHandle::resume`]; the others go on. What was fetched ahead of them is
    /// thrown away, and records that are already on their way still come.
    pub fn pause(&self, partitions: Vec<Partition>) {
        self.send(Command::Hold(partitions));
    }

    /// Fetches these partitions again.
    pub fn resume(&self, partitions: Vec<Partition>) {
        self.send(Command::Release(partitions));
    }

    /// Asks the log where these partitions end now. Partitions it does not tell about in time are missing from the answer.
    pub async fn ends(&self, partitions: Vec<Partition>) -> Vec<End> {
        let (answer, ends) = oneshot::channel();
        self.send(Command::Ends(partitions, answer));
        ends.await.unwrap_or_default()
    }

    /// Commits what is stored, leaves the group and ends the thread. Returns false when that took longer than `deadline`;
    /// the thread then goes on by itself and the group notices by its session timeout.
    pub async fn stop(&self, deadline: Duration) -> bool {
        let (done, stopped) = oneshot::channel();
        self.send(Command::Stop(done));
        tokio::time::timeout(deadline, stopped).await.is_ok()
    }

    fn send(&self, command: Command) {
        if self.commands.send(command).is_err() {
            tracing::debug!("the consumer has ended already");
        }
    }
}

/// What to subscribe to: librdkafka takes a leading `^` as a regular expression, so that topics made later are found.
fn subscription(config: &KafkaConfig, extra: &[String]) -> Arc<[String]> {
    let own = format!("^{}(\\.bulk)?$", escape(&config.kafka_topic));
    std::iter::once(own).chain(extra.iter().map(|topic| format!("^{}$", escape(topic)))).collect()
}

/// Topic names hold letters, digits, `.`, `_` and `-`; only the dot means something in a regular expression.
fn escape(topic: &str) -> String {
    topic.replace('.', "\\.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_matched_by_its_whole_name_and_its_bulk_lane() {
        assert_eq!(escape("weir.events-a_1"), "weir\\.events-a_1");
    }
}
