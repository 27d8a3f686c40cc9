//! Reading partitions from places of our choice, outside any group, on a thread of its own. Invariant: nothing is copied that the
//! reader does not ask for, nothing is committed, and the thread ends with the handle.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::config::KafkaConfig;

use super::consumer::{Partition, polled};
use super::context::Quiet;
use super::record::Polled;
use super::settings;

/// How long a poll waits for the first record; bounds how late an order is seen.
const POLL: Duration = Duration::from_millis(20);

/// How long a follower of nothing waits for its first order before it looks again whether it is still wanted.
const IDLE: Duration = Duration::from_secs(1);

/// Why nothing can be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// librdkafka refuses the settings.
    #[error("the follower cannot be made")]
    Settings(#[source] KafkaError),
    /// The operating system gives no thread.
    #[error("the follower's thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// One record, still librdkafka's.
pub struct Sighting<'a> {
    message: &'a BorrowedMessage<'a>,
    topics: &'a mut Vec<Arc<str>>,
}

impl Sighting<'_> {
    /// Its topic.
    pub fn topic(&self) -> &str {
        self.message.topic()
    }

    /// Its partition.
    pub fn partition(&self) -> i32 {
        self.message.partition()
    }

    /// Its offset.
    pub fn offset(&self) -> i64 {
        self.message.offset()
    }

    /// Its key.
    pub fn key(&self) -> Option<&[u8]> {
        self.message.key()
    }

    /// All of it, copied.
    pub fn copy(&mut self) -> Polled {
        polled(self.message, self.topics)
    }
}

/// What the reader is told.
pub enum Turn<'a> {
    /// A record, in order within its partition.
    Record(Sighting<'a>),
    /// Nothing more is there at the moment, at least in one partition.
    Pause,
}

enum Order {
    Follow(Vec<(Partition, i64)>),
    Leave(Vec<Partition>),
}

/// The commanding end of one reader. Dropping it ends the thread.
pub struct Follower {
    orders: std_mpsc::Sender<Order>,
}

impl Follower {
    /// Starts a thread that tells `reader` of each record until it breaks. The log need not be there yet.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn start(
        config: &KafkaConfig,
        reader: impl FnMut(Turn<'_>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Self, FollowError> {
        let consumer: BaseConsumer<Quiet> =
            settings::scan(config).create_with_context(Quiet).map_err(FollowError::Settings)?;
        let (orders, orders_out) = std_mpsc::channel();
        let mut following = Following { consumer, orders: orders_out, followed: 0, in_error: false };
        std::thread::Builder::new()
            .name("weir-follow".to_owned())
            .spawn(move || following.run(reader))
            .map_err(FollowError::Thread)?;
        Ok(Self { orders })
    }

    /// Reads these partitions from these offsets on, too.
    pub fn follow(&self, places: Vec<(Partition, i64)>) {
        self.order(Order::Follow(places));
    }

    /// Reads these partitions no more; a few records of theirs may still come.
    pub fn leave(&self, partitions: Vec<Partition>) {
        self.order(Order::Leave(partitions));
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::debug!("a reader of the log has ended by itself");
        }
    }
}

struct Following {
    consumer: BaseConsumer<Quiet>,
    orders: std_mpsc::Receiver<Order>,
    followed: usize,
    /// An error was reported and no record has come since.
    in_error: bool,
}

impl Following {
    fn run(&mut self, mut reader: impl FnMut(Turn<'_>) -> ControlFlow<()>) {
        let mut topics = Vec::new();
        while self.obey().is_continue() {
            if self.followed == 0 {
                continue;
            }
            let told = match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    self.in_error = false;
                    reader(Turn::Record(Sighting { message: &message, topics: &mut topics }))
                }
                None | Some(Err(KafkaError::PartitionEOF(_))) => reader(Turn::Pause),
                Some(Err(error)) => {
                    if !std::mem::replace(&mut self.in_error, true) {
                        tracing::warn!(%error, "following the log fails; librdkafka tries again");
                    }
                    ControlFlow::Continue(())
                }
            };
            if told.is_break() {
                return;
            }
        }
    }

    /// Breaks when nobody is left to give orders.
    fn obey(&mut self) -> ControlFlow<()> {
        loop {
            let order = if self.followed == 0 {
                match self.orders.recv_timeout(IDLE) {
                    Ok(order) => order,
                    Err(std_mpsc::RecvTimeoutError::Timeout) => return ControlFlow::Continue(()),
                    Err(std_mpsc::RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
                }
            } else {
                match self.orders.try_recv() {
                    Ok(order) => order,
                    Err(std_mpsc::TryRecvError::Empty) => return ControlFlow::Continue(()),
                    Err(std_mpsc::TryRecvError::Disconnected) => return ControlFlow::Break(()),
                }
            };
            if let Err(error) = self.carry_out(order) {
                tracing::error!(%error, "partitions cannot be followed or left");
            }
        }
    }

    fn carry_out(&mut self, order: Order) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        match order {
            Order::Follow(places) => {
                for (Partition { topic, partition }, offset) in &places {
                    list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
                }
                self.followed += places.len();
                self.consumer.incremental_assign(&list)
            }
            Order::Leave(partitions) => {
                for Partition { topic, partition } in &partitions {
                    list.add_partition(topic, *partition);
                }
                self.followed -= partitions.len().min(self.followed);
                self.consumer.incremental_unassign(&list)
            }
        }
    }
}
