//! The log, and the only folder that knows rdkafka. Out: [`Producer`] (by [`Publish`]); in: [`Consumer`] and [`Follower`]; aside: [`admin`] and
//! [`scan`].
//!
//! Invariant: a placement is reported only after all in-sync replicas hold the record, and whatever cannot be known within the
//! deadline is reported as unknown, never as lost.

pub mod admin;
mod breaker;
pub mod consumer;
mod context;
mod follow;
mod metrics;
mod producer;
mod pulse;
mod record;
pub mod scan;
mod settings;
mod tracker;
mod watch;

pub use consumer::{Consumer, ConsumerError, ConsumerEvent, ConsumerHandle, End, Partition, Revocation, Stored};
pub use follow::{FollowError, Follower, Sighting, Turn};
pub use producer::{Producer, ProducerError};
pub use record::{Placement, Polled, Publish, PublishError, Record};
