//! What became of one event. Invariant: row, progress and dead letters come from one snapshot, so a record that is settled
//! there is in one of the other two, unless it is older than what is kept.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use super::events::{self, StoredEvent};
use crate::domain::id::{AccountId, EventId};
use crate::domain::receipt::Receipt;
use crate::domain::time::Timestamp;

/// Most dead letters of one answer: an event that is sent again and again may die again and again.
const MAX_LETTERS: i64 = 20;

pub(super) const DEAD: &str = "
    SELECT topic, kafka_partition, kafka_offset, reason, stage, tries, detail, first_failed_at, set_aside_at
      FROM dead_letters
     WHERE account_id = $1
       AND (event_id = $2 OR (topic = $3 AND kafka_partition = $4 AND kafka_offset = $5))
     ORDER BY set_aside_at DESC
     LIMIT $6";

const NEXT: &str = "SELECT next_offset FROM log_progress WHERE topic = $1 AND kafka_partition = $2";

/// A record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadRow {
    /// Where the log has it.
    pub origin: Receipt,
    /// Why, in one word.
    pub reason: String,
    /// Where it met its end, in one word.
    pub stage: String,
    /// How often it was tried.
    pub tries: u32,
    /// A sentence without its content.
    pub detail: String,
    /// When it failed first.
    pub first_failed_at: Timestamp,
    /// When its letter was indexed.
    pub set_aside_at: Timestamp,
}

/// What the store knows of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceRows {
    /// Its row.
    pub stored: Option<StoredEvent>,
    /// Whether the log is settled past the receipt; `None` without one.
    pub settled: Option<bool>,
    /// Its dead letters, latest first.
    pub dead: Vec<DeadRow>,
}

pub(in crate::store) async fn rows(
    connection: &mut PgConnection,
    account: &AccountId,
    id: &EventId,
    receipt: Option<&Receipt>,
) -> Result<TraceRows, Error> {
    let stored = events::one(connection, account, id).await?;
    let settled = match receipt {
        Some(receipt) => Some(is_settled(connection, receipt).await?),
        None => None,
    };
    let dead = sqlx::query(DEAD)
        .bind(account.as_str())
        .bind(id.as_str())
        .bind(receipt.map(|receipt| &*receipt.topic))
        .bind(receipt.map(|receipt| receipt.partition))
        .bind(receipt.map(|receipt| receipt.offset))
        .bind(MAX_LETTERS)
        .fetch_all(connection)
        .await?;
    Ok(TraceRows { stored, settled, dead: dead.iter().map(dead_row).collect::<Result<_, _>>()? })
}

async fn is_settled(connection: &mut PgConnection, receipt: &Receipt) -> Result<bool, Error> {
    let row = sqlx::query(NEXT).bind(&*receipt.topic).bind(receipt.partition).fetch_optional(connection).await?;
    let next = row.map(|row| row.try_get::<i64, _>(0)).transpose()?;
    Ok(next.is_some_and(|next| next > receipt.offset))
}

fn dead_row(row: &PgRow) -> Result<DeadRow, Error> {
    let time = |at: usize| row.try_get::<DateTime<Utc>, _>(at).map(Timestamp::from);
    Ok(DeadRow {
        origin: Receipt {
            topic: row.try_get::<&str, _>(0)?.into(),
            partition: row.try_get(1)?,
            offset: row.try_get(2)?,
        },
        reason: row.try_get(3)?,
        stage: row.try_get(4)?,
        tries: row.try_get::<i32, _>(5)?.unsigned_abs(),
        detail: row.try_get(6)?,
        first_failed_at: time(7)?,
        set_aside_at: time(8)?,
    })
}
