//! Where partitions end, asked of the brokers. Invariant: an answer was given after the question, never remembered from before.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::context::Callbacks;
use super::event::{End, Partition};

/// How long one question may hold up the polling thread.
const ANSWER: Duration = Duration::from_millis(300);

/// Asks for the ends of the partitions; those that nobody tells are left out.
pub(super) fn ask(consumer: &BaseConsumer<Callbacks>, partitions: Vec<Partition>) -> Vec<End> {
    match read(consumer, partitions) {
        Ok(ends) => ends,
        Err(error) => {
            tracing::debug!(%error, "the log does not tell where its partitions end");
            Vec::new()
        }
    }
}

fn read(consumer: &BaseConsumer<Callbacks>, partitions: Vec<Partition>) -> KafkaResult<Vec<End>> {
    let list = |offset| {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in &partitions {
            list.add_partition_offset(&partition.topic, partition.partition, offset)?;
        }
        KafkaResult::Ok(list)
    };
    // One request a broker, unlike watermarks, which are asked for one partition at a time.
    let ends = consumer.offsets_for_times(list(Offset::End)?, ANSWER)?;
    let starts = consumer.offsets_for_times(list(Offset::Beginning)?, ANSWER)?;
    let committed = consumer.committed_offsets(list(Offset::Invalid)?, ANSWER)?;
    let told = |list: &TopicPartitionList, partition: &Partition| {
        let element = list.find_partition(&partition.topic, partition.partition)?;
        element.error().ok()?;
        match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    };
    let end = |partition: Partition| {
        let (end, start) = (told(&ends, &partition)?, told(&starts, &partition)?);
        let committed = told(&committed, &partition);
        Some(End { partition, end, start, committed })
    };
    Ok(partitions.into_iter().filter_map(end).collect())
}
