//! The log as it is, past the service. Invariant: it looks and appends; it never joins or commits in the workers' group.

use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// The default topic of events.
pub const EVENTS: &str = "weir.events";

/// How long a broker may take to answer about its offsets.
const ANSWER: Duration = Duration::from_secs(10);

/// The group of the standard lane's workers.
const GROUP: &str = "weir-worker";

fn client(broker: &str) -> anyhow::Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker).set("group.id", "chaos-looks").create().context("a client of the broker")
}

/// Workers that hold partitions; `None` while the group is not at rest or does not answer.
pub fn workers_with_partitions(broker: &str) -> Option<usize> {
    let list = client(broker).ok()?.fetch_group_list(Some(GROUP), ANSWER).ok()?;
    let group = list.groups().iter().find(|group| group.name() == GROUP && group.state() == "Stable")?;
    // An assignment is a version in two bytes, then the number of topics in four.
    let holds = |assignment: &[u8]| assignment.get(2..6).is_some_and(|topics| topics != [0; 4]);
    Some(group.members().iter().filter(|member| member.assignment().is_some_and(holds)).count())
}

/// Records of a topic, all partitions together.
///
/// # Errors
/// When the broker does not tell.
pub fn records(broker: &str, topic: &str) -> anyhow::Result<u64> {
    let consumer = client(broker)?;
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER).context("the topic's partitions")?;
    let mut sum = 0;
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), ANSWER).context("a partition's ends")?;
        sum += u64::try_from(high - low).unwrap_or(0);
    }
    Ok(sum)
}

/// Appends each value, with its header `v`, to each partition of a topic; returns how many records that were.
///
/// # Errors
/// When the broker does not take them all.
pub fn append_to_all(broker: &str, topic: &str, values: &[(Option<&str>, &[u8])]) -> anyhow::Result<usize> {
    let metadata = client(broker)?.fetch_metadata(Some(topic), ANSWER).context("the topic's partitions")?;
    let partitions: Vec<i32> =
        metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker).set("acks", "all").create().context("a producer")?;
    for partition in &partitions {
        for (version, value) in values {
            let mut headers = OwnedHeaders::new();
            if let Some(version) = version {
                headers = headers.insert(Header { key: "v", value: Some(*version) });
            }
            let record = BaseRecord::<[u8], [u8]>::to(topic).partition(*partition).payload(value).headers(headers);
            producer.send(record).map_err(|(error, _)| error).context("a record for the log")?;
        }
    }
    producer.flush(ANSWER).context("handing records to the log")?;
    Ok(partitions.len() * values.len())
}
