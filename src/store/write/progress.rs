//! How far the log is settled. Invariant: progress never goes back, not even when a worker that lost its partition writes late;
//! and no time lies ahead of Postgres's clock, because one broker's wrong clock would else vouch for what is still to come.

use chrono::{DateTime, Utc};
use sqlx::Error;
use sqlx::postgres::PgConnection;

use crate::store::worker_store::Progress;

const UPSERT: &str = "
    INSERT INTO log_progress AS held (topic, kafka_partition, next_offset, record_time)
    SELECT topic, kafka_partition, max(next_offset), LEAST(max(record_time), clock_timestamp())
      FROM UNNEST($1::text[], $2::int[], $3::bigint[], $4::timestamptz[])
           AS batch (topic, kafka_partition, next_offset, record_time)
     GROUP BY topic, kafka_partition
     ORDER BY topic COLLATE \"C\", kafka_partition
    ON CONFLICT (topic, kafka_partition) DO UPDATE
       SET next_offset = GREATEST(held.next_offset, excluded.next_offset),
           record_time = GREATEST(held.record_time, excluded.record_time)";

/// Notes progress, one row a partition.
pub(in crate::store) async fn progress(connection: &mut PgConnection, settled: &[Progress]) -> Result<(), Error> {
    if settled.is_empty() {
        return Ok(());
    }
    sqlx::query(UPSERT)
        .bind(settled.iter().map(|progress| &*progress.topic).collect::<Vec<&str>>())
        .bind(settled.iter().map(|progress| progress.partition).collect::<Vec<i32>>())
        .bind(settled.iter().map(|progress| progress.next_offset).collect::<Vec<i64>>())
        .bind(settled.iter().map(|progress| progress.record_time.to_chrono()).collect::<Vec<DateTime<Utc>>>())
        .execute(connection)
        .await
        .map(drop)
}
