//! Two clients of the log behind one [`weir::kafka::Publish`]: rdkafka as the service has it, and krafka, pure Rust. Steps: [`open`] a
//! client → offer it records by a time table, in a process of its own ([`drive`]) → what that costs ([`costs`]), what becomes of it
//! while brokers fail ([`faults`]), judged by what the log holds ([`judge`]). Invariant: both get the same records, settings and faults.

mod child;
mod costs;
mod drive;
mod faults;
mod judge;
mod offer;
mod pure;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use weir::config::KafkaConfig;
use weir::kafka::{Placement, Producer, Publish, PublishError, Record};

pub use costs::{Cost, Costs};
pub use drive::{Wanted, drive};
pub use faults::{Faults, Seen};
pub use judge::Verdict;

/// How long brokers may take to answer for the first time.
const FIRST_ANSWER: Duration = Duration::from_secs(30);

/// Who takes the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Client {
    /// librdkafka, as the service has it.
    Rdkafka,
    /// krafka 0.28, with the same settings as far as it has them.
    Krafka,
    /// Nobody: what offering costs by itself.
    Nobody,
}

impl Client {
    /// Those that write to a log.
    pub const REAL: [Self; 2] = [Self::Rdkafka, Self::Krafka];

    /// Its name, also on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rdkafka => "rdkafka",
            Self::Krafka => "krafka",
            Self::Nobody => "nobody",
        }
    }
}

/// Makes the topic and the client, and waits until they have heard of each other.
async fn open(client: Client, kafka: &KafkaConfig) -> anyhow::Result<Arc<dyn Publish>> {
    if client != Client::Nobody {
        weir::kafka::admin::ensure_topic(kafka, &kafka.kafka_topic, Instant::now() + FIRST_ANSWER).await?;
    }
    match client {
        Client::Nobody => Ok(Arc::new(Nobody)),
        Client::Krafka => Ok(Arc::new(pure::Pure::start(kafka, FIRST_ANSWER).await?)),
        Client::Rdkafka => {
            let (producer, until) = (Producer::start(kafka)?, Instant::now() + FIRST_ANSWER);
            while let Err(error) = producer.partitions().await {
                if Instant::now() >= until {
                    return Err(error).context("the brokers as rdkafka sees them");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(producer)
        }
    }
}

struct Nobody;

impl Publish for Nobody {
    fn publish(&self, records: Vec<Record>, _: Instant) -> BoxFuture<'_, Vec<Result<Placement, PublishError>>> {
        let taken = records.iter().map(|_| Ok(Placement { partition: 0, offset: 0 })).collect();
        std::future::ready(taken).boxed()
    }
}
