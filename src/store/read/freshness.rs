//! How far the log has been stored, as one account sees it. Invariant: read in the snapshot of the answer, and never later than
//! the truth: what may hold events of the account and is behind holds the time back.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use crate::domain::id::AccountId;
use crate::domain::partitioner::StandardLane;
use crate::domain::time::Timestamp;

/// The account's own partition of the standard lane, and every partition of every other topic: the bulk lane spreads an
/// account by its users. A partition with nothing left to read is kept up to date by the worker, so a quiet one does not hold
/// the answer back. While the number of partitions is unknown, the least advanced of all decides.
const AS_OF: &str = "
    SELECT CASE WHEN $2::int IS NULL OR bool_or(topic = $1 AND kafka_partition = $2) THEN min(record_time) END
      FROM log_progress
     WHERE $2::int IS NULL OR topic <> $1 OR kafka_partition = $2";

const NEXT_OFFSETS: &str = "SELECT topic, kafka_partition, next_offset FROM log_progress";

/// First offset of a partition that may not be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextOffset {
    /// Kafka topic.
    pub topic: Arc<str>,
    /// Partition within the topic.
    pub partition: i32,
    /// Everything before it is stored or set aside.
    pub offset: i64,
}

pub(in crate::store) async fn as_of(
    connection: &mut PgConnection,
    account: &AccountId,
    lane: Option<&StandardLane>,
) -> Result<Option<Timestamp>, Error> {
    let row = sqlx::query(AS_OF)
        .bind(lane.map_or("", |lane| lane.topic()))
        .bind(lane.and_then(|lane| lane.partition(account)))
        .fetch_one(connection)
        .await?;
    Ok(row.try_get::<Option<DateTime<Utc>>, _>(0)?.map(Timestamp::from))
}

pub(in crate::store) async fn next_offsets(connection: &mut PgConnection) -> Result<Vec<NextOffset>, Error> {
    let rows = sqlx::query(NEXT_OFFSETS).fetch_all(connection).await?;
    let read = |row: &sqlx::postgres::PgRow| {
        let topic = row.try_get::<&str, _>(0)?.into();
        Ok(NextOffset { topic, partition: row.try_get(1)?, offset: row.try_get(2)? })
    };
    rows.iter().map(read).collect()
}
