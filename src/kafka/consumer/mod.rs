//! Records from the log to the worker: a thread for each lane polls, batches and hands over on a bounded channel; the worker
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
use crate::domain::lane::Lane;

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

/// Commands to the consumer's threads. Cheap to clone.
#[derive(Clone)]
pub struct ConsumerHandle {
    standard: std_mpsc::Sender<Command>,
    bulk: std_mpsc::Sender<Command>,
}

impl Consumer {
    /// Joins the groups and starts polling the event topic, those of classes, their bulk lanes and `extra` topics (exact names). Each lane has a
    /// group and a thread of its own: the sticky assignor evens out how many partitions a member has and not of which topic,
    /// so in one group two workers would divide the work into all of the standard lane and an idle bulk lane.
    ///
    /// # Errors
    /// [`ConsumerError`] when the settings are refused. Brokers that are away are no error: the threads wait for them.
    pub fn start(config: &KafkaConfig, extra: &[String]) -> Result<Self, ConsumerError> {
        super::metrics::announce_consumer();
        let (events_in, events) = mpsc::channel(CHANNEL_BATCHES);
        let bulk_config = KafkaConfig { kafka_group: config.bulk_group(), ..config.clone() };
        let standard =
            start_lane(config, (Lane::Standard, subscription(config, Lane::Standard, extra)), events_in.clone())?;
        let bulk = start_lane(&bulk_config, (Lane::Bulk, subscription(config, Lane::Bulk, &[])), events_in)?;
        Ok(Self { events, handle: ConsumerHandle { standard, bulk } })
    }

    /// The next batch or change of partitions; `None` once the threads have ended after [`ConsumerHandle::stop`].
    pub async fn next(&mut self) -> Option<ConsumerEvent> {
        self.events.recv().await
    }

    /// The commanding end.
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }
}

fn start_lane(
    config: &KafkaConfig,
    (lane, topics): (Lane, Arc<[String]>),
    events: mpsc::Sender<ConsumerEvent>,
) -> Result<std_mpsc::Sender<Command>, ConsumerError> {
    let (commands, commands_out) = std_mpsc::channel();
    run::start(config, (lane, topics), events, commands_out)?;
    Ok(commands)
}

impl ConsumerHandle {
    /// Stores offsets to be committed within a second, and at once when their partition is revoked or the consumer stops.
    /// Never blocks. Offsets of partitions that were taken away meanwhile are ignored: their new owner reads on from what
    /// was committed, and the event id absorbs the rest.
    pub fn store(&self, offsets: Vec<Stored>) {
        self.divide(offsets, |stored| &stored.partition.topic, Command::Store);
    }

    /// Stops fetching these partitions until [`ConsumerHandle::resume`]; the others go on. What was fetched ahead of them is
    /// thrown away, and records that are already on their way still come.
    pub fn pause(&self, partitions: Vec<Partition>) {
        self.divide(partitions, |partition| &partition.topic, Command::Hold);
    }

    /// Fetches these partitions again.
    pub fn resume(&self, partitions: Vec<Partition>) {
        self.divide(partitions, |partition| &partition.topic, Command::Release);
    }

    /// Asks the log where these partitions end now. Partitions it does not tell about in time are missing from the answer.
    pub async fn ends(&self, partitions: Vec<Partition>) -> Vec<End> {
        let mut answers = Vec::with_capacity(2);
        self.divide(
            partitions,
            |partition| &partition.topic,
            |partitions| {
                let (answer, ends) = oneshot::channel();
                answers.push(ends);
                Command::Ends(partitions, answer)
            },
        );
        let mut ends = Vec::new();
        for answer in answers {
            ends.extend(answer.await.unwrap_or_default());
        }
        ends
    }

    /// Commits what is stored, leaves the groups and ends the threads. Returns false when that took longer than `deadline`;
    /// the threads then go on by themselves and the groups notice by their session timeout.
    pub async fn stop(&self, deadline: Duration) -> bool {
        let (standard_done, standard) = oneshot::channel();
        let (bulk_done, bulk) = oneshot::channel();
        send(&self.standard, Command::Stop(standard_done));
        send(&self.bulk, Command::Stop(bulk_done));
        tokio::time::timeout(deadline, async { (standard.await, bulk.await) }).await.is_ok()
    }

    /// Gives each lane's thread its part of the list; a lane without a part is left alone.
    fn divide<T>(&self, all: Vec<T>, topic: impl Fn(&T) -> &str, mut command: impl FnMut(Vec<T>) -> Command) {
        let (bulk, standard): (Vec<T>, Vec<T>) =
            all.into_iter().partition(|one| Lane::of_topic(topic(one)) == Lane::Bulk);
        for (lane, part) in [(&self.standard, standard), (&self.bulk, bulk)] {
            if !part.is_empty() {
                send(lane, command(part));
            }
        }
    }
}

fn send(lane: &std_mpsc::Sender<Command>, command: Command) {
    if lane.send(command).is_err() {
        tracing::debug!("the consumer has ended already");
    }
}

/// What to subscribe to: librdkafka takes a leading `^` as a regular expression, so that topics made later are found. The name of
/// a class holds no dot, so no expression takes the topics of the other lane.
fn subscription(config: &KafkaConfig, lane: Lane, extra: &[String]) -> Arc<[String]> {
    let exact = |topic: &str| format!("^{}$", escape(topic));
    let classes = format!("^{}[a-z0-9_-]+{}$", escape(&config.class_topic("")), escape(&lane.topic("")));
    let own = [exact(&lane.topic(&config.kafka_topic)), classes];
    own.into_iter().chain(extra.iter().map(|topic| exact(topic))).collect()
}

/// Topic names hold letters, digits, `.`, `_` and `-`; only the dot means something in a regular expression.
fn escape(topic: &str) -> String {
    topic.replace('.', "\\.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_matched_by_its_whole_name() {
        let mut config = crate::config::Config::from_env().expect("defaults").kafka;
        config.kafka_topic = "weir.events-a_1".into();
        let standard = subscription(&config, Lane::Standard, &["more".to_owned()]);
        assert_eq!(*standard, ["^weir\\.events-a_1$", "^weir\\.events-a_1\\.class\\.[a-z0-9_-]+$", "^more$"]);
        let bulk = subscription(&config, Lane::Bulk, &[]);
        assert_eq!(*bulk, ["^weir\\.events-a_1\\.bulk$", "^weir\\.events-a_1\\.class\\.[a-z0-9_-]+\\.bulk$"]);
    }
}
