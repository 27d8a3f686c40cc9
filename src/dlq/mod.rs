//! Records the worker cannot store: set aside, looked at, sent again. Invariant: a dead letter holds its record byte for byte,
//! and sending it again changes nothing twice, because the event id is unique.
//!
//! 1. [`letter`]: what a dead letter says;
//! 2. [`DeadLetters::send`]: the worker sets records aside;
//! 3. [`browse`]: an operator looks;
//! 4. [`mod@replay`]: an operator sends again.

pub mod browse;
pub mod letter;
pub mod replay;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use browse::{Filter, Listing, Row, list};
pub use letter::{DeadLetter, Found, Stage};
pub use replay::{Replay, ReplayError, ReplayReport, replay};

use crate::kafka::{Placement, Publish, PublishError};

/// Sets records aside. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetters {
    publisher: Arc<dyn Publish>,
    topic: Arc<str>,
    ack_timeout: Duration,
}

impl DeadLetters {
    /// Writes to `topic`, waiting `ack_timeout` for each acknowledgement.
    pub fn new(publisher: Arc<dyn Publish>, topic: &str, ack_timeout: Duration) -> Self {
        Self { publisher, topic: topic.into(), ack_timeout }
    }

    /// Publishes the letters once; results stand in their order. A letter is safe only when its result is a placement.
    pub async fn send(&self, letters: &[DeadLetter<'_>]) -> Vec<Result<Placement, PublishError>> {
        let records = letters.iter().map(|letter| letter.seal(&self.topic)).collect();
        self.publisher.publish(records, Instant::now() + self.ack_timeout).await
    }
}
