//! What the lanes stand on: how far the log is stored, and a record of who moved. Invariant: a connection of its own, so that
//! tenants' questions never keep the lanes waiting.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{Connection, Row};

use super::error::{Cause, ReadError};
use super::lease::{self, Lease};
use crate::config::DatabaseConfig;
use crate::domain::id::AccountId;
use crate::domain::lane::{Lane, LaneMove, MoveReason};
use crate::domain::time::Timestamp;

/// How long a call may take: a look is taken several times a second.
const DEADLINE: Duration = Duration::from_secs(1);

/// Days a move is kept, longer while the account does not move again.
const KEPT_DAYS: i32 = 30;

/// Most moves of an answer.
const MOST: i64 = 50;

/// Opens the operators' tables for one transaction.
const AS_OPERATOR: &str = "BEGIN; SET LOCAL statement_timeout = 1000; SET LOCAL app.operator = 'on'";

const STORED: &str = "SELECT topic, kafka_partition, next_offset, record_time FROM log_progress";

const NOTE: &str = "
    INSERT INTO account_lanes (account_id, lane, since, instance, reason, backlog)
    SELECT * FROM UNNEST($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::bigint[])
    ON CONFLICT DO NOTHING";

const FORGET: &str = "
    DELETE FROM account_lanes
    WHERE account_id = ANY($1) AND since < clock_timestamp() - make_interval(days => $2)";

const HISTORY: &str = "
    SELECT lane, since, instance, reason, backlog FROM account_lanes
    WHERE account_id = $1 ORDER BY since DESC, instance LIMIT $2";

/// How far one partition is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPartition {
    /// Kafka topic.
    pub topic: String,
    /// Partition within the topic.
    pub partition: i32,
    /// Everything before it is stored or set aside.
    pub next_offset: i64,
    /// Everything received before it is stored or set aside.
    pub record_time: Timestamp,
}

/// Reads and notes as `weir_api`. Cheap to clone.
#[derive(Clone)]
pub struct LaneStore {
    pool: PgPool,
}

impl LaneStore {
    /// Makes the pool of one connection; the first use connects.
    ///
    /// # Errors
    /// When `DATABASE_URL` is absent or cannot be parsed.
    pub fn open(config: &DatabaseConfig) -> Result<Self, Cause> {
        let url = config.database_url.as_ref().ok_or("DATABASE_URL must be set")?;
        Ok(Self { pool: lease::pool(url, "weir-lanes", 1, DEADLINE)? })
    }

    /// How far each partition is stored that a worker has come to.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn stored(&self) -> Result<Vec<StoredPartition>, ReadError> {
        lease::within(DEADLINE, async {
            let mut lease = Lease::take(&self.pool).await?;
            let rows = sqlx::query(STORED).fetch_all(&mut *lease).await;
            lease.settle(rows.and_then(|rows| rows.iter().map(partition).collect()))
        })
        .await
    }

    /// Adds to the history, and forgets what is old of the same accounts.
    ///
    /// # Errors
    /// [`ReadError`]; nothing is added then, unless the answer to the commit was lost. Adding it again does no harm.
    pub async fn note(&self, moves: &[LaneMove]) -> Result<(), ReadError> {
        let accounts: Vec<&str> = moves.iter().map(|moved| moved.account.as_str()).collect();
        lease::within(DEADLINE, async {
            let mut lease = Lease::take(&self.pool).await?;
            let answer = async {
                let mut tx = lease.begin_with(AS_OPERATOR).await?;
                let note = sqlx::query(NOTE)
                    .bind(&accounts)
                    .bind(moves.iter().map(|moved| moved.lane.as_str()).collect::<Vec<&str>>())
                    .bind(moves.iter().map(|moved| moved.since.to_chrono()).collect::<Vec<DateTime<Utc>>>())
                    .bind(moves.iter().map(|moved| &*moved.instance).collect::<Vec<&str>>())
                    .bind(moves.iter().map(|moved| moved.reason.as_str()).collect::<Vec<&str>>())
                    .bind(moves.iter().map(|moved| moved.backlog.cast_signed()).collect::<Vec<i64>>());
                note.execute(&mut *tx).await?;
                sqlx::query(FORGET).bind(&accounts).bind(KEPT_DAYS).execute(&mut *tx).await?;
                tx.commit().await
            }
            .await;
            lease.settle(answer)
        })
        .await
    }

    /// The last moves of an account, the newest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn history(&self, account: &AccountId) -> Result<Vec<LaneMove>, ReadError> {
        lease::within(DEADLINE, async {
            let mut lease = Lease::take(&self.pool).await?;
            let answer = async {
                let mut tx = lease.begin_with(AS_OPERATOR).await?;
                let rows = sqlx::query(HISTORY).bind(account.as_str()).bind(MOST).fetch_all(&mut *tx).await?;
                tx.commit().await?;
                rows.iter().map(|row| lane_move(account, row)).collect()
            }
            .await;
            lease.settle(answer)
        })
        .await
    }

    /// Closes the connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn partition(row: &PgRow) -> Result<StoredPartition, sqlx::Error> {
    Ok(StoredPartition {
        topic: row.try_get(0)?,
        partition: row.try_get(1)?,
        next_offset: row.try_get(2)?,
        record_time: time(row.try_get(3)?),
    })
}

/// The table's checks leave nothing else in it than what is read here.
fn lane_move(account: &AccountId, row: &PgRow) -> Result<LaneMove, sqlx::Error> {
    let unknown = || sqlx::Error::Decode("a lane or reason that this version does not know".into());
    Ok(LaneMove {
        account: account.clone(),
        lane: Lane::parse(row.try_get(0)?).ok_or_else(unknown)?,
        since: time(row.try_get(1)?),
        instance: row.try_get::<&str, _>(2)?.into(),
        reason: MoveReason::parse(row.try_get(3)?).ok_or_else(unknown)?,
        backlog: row.try_get::<i64, _>(4)?.cast_unsigned(),
    })
}

/// Whatever lies outside the years of a [`Timestamp`] is as old as can be.
fn time(time: DateTime<Utc>) -> Timestamp {
    Timestamp::from_micros(time.timestamp_micros()).unwrap_or(Timestamp::EPOCH)
}
