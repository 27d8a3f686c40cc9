//! What the lanes stand on: how far the log is stored, who is pinned, and a record of who moved. Invariant: a connection of its
//! own, so that tenants' questions never keep the lanes waiting.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::postgres::PgPool;

use super::error::{Cause, ReadError};
use super::lease::{self, Lease};
use crate::config::DatabaseConfig;
use crate::domain::id::AccountId;
use crate::domain::lane::Lane;
use crate::domain::time::Timestamp;

/// How long a look may take; it is taken four times a second.
const DEADLINE: Duration = Duration::from_secs(1);

const PROGRESS: &str = "SELECT topic, kafka_partition, next_offset FROM log_progress";

const PINS: &str = "SELECT account_id, lane FROM lane_pins";

const NOTE: &str = "
    INSERT INTO account_lanes (account_id, lane, since, reason)
    SELECT * FROM UNNEST($1::text[], $2::text[], $3::timestamptz[], $4::text[])
    ON CONFLICT DO NOTHING";

/// How far one partition is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTo {
    /// Kafka topic.
    pub topic: String,
    /// Partition within the topic.
    pub partition: i32,
    /// Everything before it is stored or set aside.
    pub next_offset: i64,
}

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneView {
    /// Every partition that a worker has noted.
    pub stored: Vec<StoredTo>,
    /// Accounts whose lane an operator chose.
    pub pins: HashMap<AccountId, Lane>,
}

/// An account that changed its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneEntry {
    /// Who.
    pub account: AccountId,
    /// Where it is now.
    pub lane: Lane,
    /// Since when.
    pub since: Timestamp,
    /// Why, in a sentence.
    pub reason: String,
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

    /// How far the log is stored and who is pinned.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn view(&self) -> Result<LaneView, ReadError> {
        lease::within(DEADLINE, async {
            let mut lease = Lease::take(&self.pool).await?;
            let answer = async {
                let progress = sqlx::query(PROGRESS).fetch_all(&mut *lease).await?;
                let pins = sqlx::query(PINS).fetch_all(&mut *lease).await?;
                let stored = progress.iter().map(|row| {
                    Ok(StoredTo { topic: row.try_get(0)?, partition: row.try_get(1)?, next_offset: row.try_get(2)? })
                });
                // The table's checks leave nothing else in it; whoever got past them pins nobody.
                let pin = |row: &sqlx::postgres::PgRow| {
                    let account = AccountId::new(row.try_get(0).ok()?).ok()?;
                    Some((account, Lane::parse(row.try_get(1).ok()?)?))
                };
                let stored = stored.collect::<Result<_, sqlx::Error>>()?;
                Ok(LaneView { stored, pins: pins.iter().filter_map(pin).collect() })
            }
            .await;
            lease.settle(answer)
        })
        .await
    }

    /// Adds to the history.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn note(&self, entries: &[LaneEntry]) -> Result<(), ReadError> {
        lease::within(DEADLINE, async {
            let mut lease = Lease::take(&self.pool).await?;
            let noted = sqlx::query(NOTE)
                .bind(entries.iter().map(|entry| entry.account.as_str()).collect::<Vec<&str>>())
                .bind(entries.iter().map(|entry| entry.lane.as_str()).collect::<Vec<&str>>())
                .bind(entries.iter().map(|entry| entry.since.to_chrono()).collect::<Vec<DateTime<Utc>>>())
                .bind(entries.iter().map(|entry| entry.reason.as_str()).collect::<Vec<&str>>())
                .execute(&mut *lease)
                .await;
            lease.settle(noted).map(drop)
        })
        .await
    }

    /// Closes the connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
