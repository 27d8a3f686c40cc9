//! Topics and their settings. Invariant: idempotent, and a topic that exists is never changed: partitions are not grown in
//! place, because keys would move.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::Instant;

use crate::config::KafkaConfig;
use crate::domain::lane::Lane;

use super::context::Quiet;
use super::settings;

/// Distance between tries while the brokers are not ready.
const AGAIN: Duration = Duration::from_millis(250);

/// How long one question to the brokers may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Why topics could not be made sure of.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// librdkafka refuses the settings.
    #[error("the Kafka administration client cannot be made")]
    Settings(#[source] KafkaError),
    /// The brokers did not answer in time.
    #[error("the brokers did not answer in time")]
    Away(#[source] KafkaError),
    /// A topic was refused.
    #[error("topic {topic} was refused: {code}")]
    Refused {
        /// Name of the topic.
        topic: String,
        /// The broker's word for it.
        code: RDKafkaErrorCode,
    },
    /// The topics were made but have no leaders yet.
    #[error("topic {0} has no leader yet")]
    NoLeader(String),
    /// The blocking task was cut off by the runtime's end.
    #[error("the process is stopping")]
    Stopping,
}

type Admin = AdminClient<Quiet>;

/// Makes the event topic, its bulk lane and the dead-letter topic where they are missing, and waits until each has leaders.
/// Brokers that are not up yet are waited for until `deadline`.
///
/// # Errors
/// [`AdminError`] says what stood in the way.
pub async fn ensure_topics(config: &KafkaConfig, deadline: Instant) -> Result<(), AdminError> {
    let admin: Arc<Admin> = Arc::new(settings::admin(config).create_with_context(Quiet).map_err(AdminError::Settings)?);
    let brokers = broker_count(&admin, deadline).await?;
    make(&admin, &plans(config, brokers), deadline).await
}

/// Makes one more topic of events and its bulk lane where they are missing, and waits until they have leaders.
///
/// # Errors
/// [`AdminError`] says what stood in the way.
pub async fn ensure_topic(config: &KafkaConfig, topic: &str, deadline: Instant) -> Result<(), AdminError> {
    let admin: Arc<Admin> = Arc::new(settings::admin(config).create_with_context(Quiet).map_err(AdminError::Settings)?);
    let brokers = broker_count(&admin, deadline).await?;
    let plans = Lane::ALL.map(|lane| Plan { name: lane.topic(topic), ..event_plan(config, brokers) });
    make(&admin, &plans, deadline).await
}

async fn make(admin: &Arc<Admin>, plans: &[Plan], deadline: Instant) -> Result<(), AdminError> {
    let topics: Vec<NewTopic<'_>> = plans.iter().map(Plan::new_topic).collect();
    let options = AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER));
    let results = admin.create_topics(&topics, &options).await.map_err(AdminError::Away)?;
    for result in results {
        match result {
            Ok(topic) => tracing::info!(topic, "topic created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(AdminError::Refused { topic, code }),
        }
    }
    for plan in plans {
        wait_for_leaders(admin, &plan.name, deadline).await?;
    }
    Ok(())
}

/// A topic as it should be made.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    name: String,
    partitions: i32,
    replicas: i32,
    retention_ms: String,
    /// `None` leaves the broker's default.
    max_record: Option<String>,
}

impl Plan {
    fn new_topic(&self) -> NewTopic<'_> {
        let topic = NewTopic::new(&self.name, self.partitions, TopicReplication::Fixed(self.replicas))
            .set("retention.ms", &self.retention_ms)
            // One clock, the broker's, says when a record was received: `data_as_of` must not depend on that of an API host.
            .set("message.timestamp.type", "LogAppendTime")
            .set("cleanup.policy", "delete");
        let topic = if let Some(bytes) = &self.max_record { topic.set("max.message.bytes", bytes) } else { topic };
        // With three replicas an acknowledgement means at least two have it.
        if self.replicas >= 3 { topic.set("min.insync.replicas", "2") } else { topic }
    }
}

/// The event topic; others are like it but for what they say.
fn event_plan(config: &KafkaConfig, brokers: usize) -> Plan {
    let replicas = match config.kafka_replication {
        0 if brokers >= 3 => 3,
        0 => 1,
        fixed => fixed,
    };
    Plan {
        name: config.kafka_topic.clone(),
        partitions: config.kafka_partitions,
        replicas,
        retention_ms: retention_ms(config.kafka_retention_days),
        max_record: None,
    }
}

fn retention_ms(days: u32) -> String {
    (u64::from(days) * 86_400_000).to_string()
}

fn plans(config: &KafkaConfig, brokers: usize) -> Vec<Plan> {
    let dead = Plan {
        name: config.kafka_dead_letter_topic.clone(),
        partitions: 1,
        retention_ms: retention_ms(config.kafka_dead_letter_retention_days),
        max_record: Some(settings::DEAD_LETTER_BYTES.to_string()),
        ..event_plan(config, brokers)
    };
    let bulk = Plan { name: Lane::Bulk.topic(&config.kafka_topic), ..event_plan(config, brokers) };
    vec![event_plan(config, brokers), bulk, dead]
}

async fn broker_count(admin: &Arc<Admin>, deadline: Instant) -> Result<usize, AdminError> {
    loop {
        let asked = blocking(admin, |admin| Ok(admin.inner().fetch_metadata(None, AGAIN)?.brokers().len())).await?;
        match asked {
            Ok(brokers) if brokers > 0 => return Ok(brokers),
            Ok(_) if Instant::now() < deadline => {}
            Ok(_) => return Err(AdminError::Away(KafkaError::MetadataFetch(RDKafkaErrorCode::AllBrokersDown))),
            Err(error) if Instant::now() >= deadline => return Err(AdminError::Away(error)),
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn wait_for_leaders(admin: &Arc<Admin>, topic: &str, deadline: Instant) -> Result<(), AdminError> {
    loop {
        let name = topic.to_owned();
        if blocking(admin, move |admin| has_leaders(&admin, &name)).await?.is_ok_and(|led| led) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(AdminError::NoLeader(topic.to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn has_leaders(admin: &Admin, topic: &str) -> KafkaResult<bool> {
    let metadata = admin.inner().fetch_metadata(Some(topic), ANSWER)?;
    let partitions = metadata.topics().first().map_or(&[][..], |found| found.partitions());
    Ok(!partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0))
}

/// librdkafka's metadata call blocks: it gets a thread where that harms nobody.
async fn blocking<T: Send + 'static>(
    admin: &Arc<Admin>,
    ask: impl FnOnce(Arc<Admin>) -> KafkaResult<T> + Send + 'static,
) -> Result<KafkaResult<T>, AdminError> {
    let admin = Arc::clone(admin);
    tokio::task::spawn_blocking(move || ask(admin)).await.map_err(|_| AdminError::Stopping)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn replicas_follow_the_number_of_brokers_unless_fixed() {
        let mut config = Config::from_env().expect("defaults").kafka;
        config.kafka_replication = 0;
        assert!(plans(&config, 1).iter().all(|plan| plan.replicas == 1));
        assert!(plans(&config, 2).iter().all(|plan| plan.replicas == 1));
        assert!(plans(&config, 3).iter().all(|plan| plan.replicas == 3));
        config.kafka_replication = 2;
        assert!(plans(&config, 3).iter().all(|plan| plan.replicas == 2));
    }

    #[test]
    fn the_bulk_lane_has_the_partitions_of_its_topic() {
        let config = Config::from_env().expect("defaults").kafka;
        let plans = plans(&config, 1);
        assert_eq!(plans[1].name, format!("{}.bulk", plans[0].name));
        assert_eq!(plans[1].partitions, plans[0].partitions);
    }
}
