//! How far the log has been stored, as one account sees it. Invariant: read in the snapshot of the answer, and never later than
//! the truth: what may hold events of the account and is behind holds the time back.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use crate::domain::id::AccountId;
use crate::domain::partitioner::Topics;
use crate::domain::time::Timestamp;

/// The least advanced of the account's own partitions; nothing while one of them is not known, because it may hold anything. A
/// partition with nothing left to read is kept up to date by the worker, so a quiet one does not hold the answer back.
const AS_OF: &str = "
    SELECT CASE WHEN count(record_time) = count(*) THEN min(record_time) END
      FROM UNNEST($1::text[], $2::int[]) AS own (topic, kafka_partition)
      LEFT JOIN log_progress USING (topic, kafka_partition)";

/// The least advanced of all, while nobody knows where the account's records are.
const AS_OF_ALL: &str = "SELECT min(record_time) FROM log_progress";

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
    topics: Option<&Topics>,
) -> Result<Option<Timestamp>, Error> {
    let row = match topics.and_then(|topics| topics.homes(account)) {
        Some(homes) => {
            let (topics, partitions): (Vec<&str>, Vec<i32>) =
                homes.iter().map(|(topic, partition)| (&**topic, *partition)).unzip();
            sqlx::query(AS_OF).bind(topics).bind(partitions).fetch_one(connection).await?
        }
        None => sqlx::query(AS_OF_ALL).fetch_one(connection).await?,
    };
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
