//! The consumer's thread. Invariant: it polls at least every second whatever the worker does, so the group never takes a
//! slow worker for a dead one; records wait in the log, not here.

use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::mpsc;

use crate::config::KafkaConfig;
use crate::domain::lane::Lane;
use crate::kafka::metrics::{self, ConsumerFault};
use crate::kafka::settings;

use super::ConsumerError;
use super::context::{Callbacks, note_commit, obey};
use super::convert::polled;
use super::desk::Desk;
use super::ends;
use super::event::{Command, ConsumerEvent};

/// How long a poll waits for the first record; bounds how late a command is seen.
const POLL: Duration = Duration::from_millis(50);

/// How long a full channel is waited for before fetching is paused: pausing throws away what was fetched ahead.
const PATIENCE: Duration = Duration::from_secs(1);

/// Wait between looks at a full channel.
const LOOK: Duration = Duration::from_millis(5);

/// How often the lag is told.
const LAG_EVERY: Duration = Duration::from_secs(5);

/// Wait before a new consumer takes the place of one with a fatal error.
const RESTART: Duration = Duration::from_secs(1);

struct Loop {
    config: KafkaConfig,
    lane: Lane,
    topics: Arc<[String]>,
    desk: Arc<Mutex<Desk>>,
    /// Since when the channel has been full.
    full_since: Option<Instant>,
    paused: bool,
    /// An error was reported and no record has come since.
    in_error: bool,
    lag_told: Option<Instant>,
}

/// Why the polling ended.
enum End {
    Stopped,
    Fatal(KafkaError),
}

pub(super) fn start(
    config: &KafkaConfig,
    (lane, topics): (Lane, Arc<[String]>),
    events: mpsc::Sender<ConsumerEvent>,
    commands: std_mpsc::Receiver<Command>,
) -> Result<(), ConsumerError> {
    let desk = Arc::new(Mutex::new(Desk::new(events, commands)));
    let config = config.clone();
    let (full_since, paused, in_error, lag_told) = (None, false, false, None);
    let mut polling = Loop { config, lane, topics, desk, full_since, paused, in_error, lag_told };
    let first = polling.join_group()?;
    std::thread::Builder::new()
        .name("weir-consumer".to_owned())
        .spawn(move || polling.run(first))
        .map(drop)
        .map_err(ConsumerError::Thread)
}

impl Loop {
    fn join_group(&self) -> Result<BaseConsumer<Callbacks>, ConsumerError> {
        let consumer: BaseConsumer<Callbacks> = settings::consumer(&self.config)
            .create_with_context(Callbacks(Arc::clone(&self.desk)))
            .map_err(ConsumerError::Settings)?;
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(ConsumerError::Subscribe)?;
        Ok(consumer)
    }

    fn run(&mut self, first: BaseConsumer<Callbacks>) {
        let mut consumer = Some(first);
        loop {
            if let Some(consumer) = consumer.take() {
                match self.poll_until_end(&consumer) {
                    End::Stopped => break self.leave(consumer),
                    End::Fatal(error) => self.give_up(consumer, &error),
                }
            }
            std::thread::sleep(RESTART);
            if self.serve_without_consumer() {
                break;
            }
            match self.join_group() {
                Ok(joined) => consumer = Some(joined),
                Err(error) => tracing::error!(%error, "the consumer cannot be made anew; trying again"),
            }
        }
        self.desk.lock().stopped();
    }

    fn poll_until_end(&mut self, consumer: &BaseConsumer<Callbacks>) -> End {
        loop {
            let (orders, stopping, sent) = {
                let mut desk = self.desk.lock();
                (desk.commands(Duration::ZERO), desk.stopping(), desk.flush())
            };
            obey(consumer, orders);
            if stopping {
                return End::Stopped;
            }
            let polled = if sent { self.fill_batch(consumer) } else { self.wait_for_room(consumer) };
            if let Err(error) = polled {
                return End::Fatal(error);
            }
            self.tell_lag(consumer);
        }
    }

    /// Asks the brokers how much waits. librdkafka's own figure stands still while fetching rests, and is none at all until a
    /// first offset was stored: it would be silent for as long as Postgres is away.
    fn tell_lag(&mut self, consumer: &BaseConsumer<Callbacks>) {
        if self.lag_told.is_some_and(|told| told.elapsed() < LAG_EVERY) {
            return;
        }
        let assigned = self.desk.lock().assigned.clone();
        if assigned.is_empty() {
            return;
        }
        self.lag_told = Some(Instant::now());
        for end in ends::ask(consumer, assigned) {
            metrics::lag(&end.partition.topic, end.partition.partition, end.waiting());
        }
    }

    /// Polls until a batch is full or nothing more is there at once.
    fn fill_batch(&mut self, consumer: &BaseConsumer<Callbacks>) -> Result<(), KafkaError> {
        self.full_since = None;
        self.set_paused(consumer, false);
        let mut wait = POLL;
        while self.poll_one(consumer, wait)? {
            wait = Duration::ZERO;
        }
        self.desk.lock().seal();
        Ok(())
    }

    /// The worker does not keep up: waits a little, then pauses and keeps polling, which serves the group.
    fn wait_for_room(&mut self, consumer: &BaseConsumer<Callbacks>) -> Result<(), KafkaError> {
        let since = *self.full_since.get_or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE {
            let orders = self.desk.lock().commands(LOOK);
            obey(consumer, orders);
            return Ok(());
        }
        // Again every time: partitions that came meanwhile are not paused yet.
        self.paused = false;
        self.set_paused(consumer, true);
        // A record may still come that was on its way when the pause began.
        self.poll_one(consumer, POLL)?;
        self.desk.lock().seal();
        Ok(())
    }

    /// Takes one record if one comes in time; true when there was one and the batch has room for another.
    fn poll_one(&mut self, consumer: &BaseConsumer<Callbacks>, wait: Duration) -> Result<bool, KafkaError> {
        match consumer.poll(wait) {
            None => Ok(false),
            Some(Ok(message)) => {
                if std::mem::take(&mut self.in_error) {
                    tracing::info!("reading from the log again");
                }
                let mut desk = self.desk.lock();
                let record = polled(&message, &mut desk.topics);
                Ok(desk.take(record))
            }
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => Err(error),
            Some(Err(error)) => {
                metrics::consumer_failed(ConsumerFault::Poll);
                if !std::mem::replace(&mut self.in_error, true) {
                    tracing::warn!(%error, "reading from the log fails; librdkafka tries again");
                }
                Ok(false)
            }
        }
    }

    fn set_paused(&mut self, consumer: &BaseConsumer<Callbacks>, paused: bool) {
        if self.paused == paused {
            return;
        }
        let changed = consumer
            .assignment()
            .and_then(|all| if paused { consumer.pause(&all) } else { consumer.resume(&self.without_held(&all)) });
        if let Err(error) = changed {
            tracing::warn!(%error, paused, "fetching cannot be paused or resumed");
        }
        self.paused = paused;
        metrics::paused(self.lane, paused);
    }

    fn without_held(&self, all: &TopicPartitionList) -> TopicPartitionList {
        let desk = self.desk.lock();
        let mut wanted = TopicPartitionList::new();
        for element in all.elements().iter().filter(|element| !desk.holds(element.topic(), element.partition())) {
            wanted.add_partition(element.topic(), element.partition());
        }
        wanted
    }

    /// Commits what is stored and leaves the group.
    fn leave(&mut self, consumer: BaseConsumer<Callbacks>) {
        note_commit(consumer.commit_consumer_state(CommitMode::Sync));
        drop(consumer);
        tracing::info!("left the consumer group");
    }

    fn give_up(&mut self, consumer: BaseConsumer<Callbacks>, error: &KafkaError) {
        metrics::consumer_failed(ConsumerFault::Fatal);
        tracing::error!(%error, "the consumer cannot go on and is made anew");
        drop(consumer);
        let mut desk = self.desk.lock();
        let left = std::mem::take(&mut desk.assigned);
        if !left.is_empty() {
            drop(desk.revoke(left, true));
        }
        self.paused = false;
    }

    /// Keeps the channel moving while there is no consumer; true when it is time to stop.
    fn serve_without_consumer(&self) -> bool {
        let mut desk = self.desk.lock();
        desk.flush();
        drop(desk.commands(Duration::ZERO));
        desk.stopping()
    }
}
