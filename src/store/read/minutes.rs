//! Events by minute and name, straight from the events: what the live counters are seeded with. Invariant: the caller's range is
//! an hour or so, so the scan is bounded by what an account sends in that time.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use crate::domain::id::AccountId;

/// Most rows of one answer: the rarest names of the busiest minutes are left out beyond.
const MAX_ROWS: i64 = 60_000;

const MINUTES: &str = "
    SELECT date_bin('1 minute', occurred_at, 'epoch'), event_name, count(*)
      FROM events
     WHERE account_id = $1 AND occurred_at >= $2 AND occurred_at < $3
     GROUP BY 1, 2
     ORDER BY 3 DESC
     LIMIT $4";

/// Events of one name in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinuteCount {
    /// Minutes since the epoch.
    pub minute: i64,
    /// The name.
    pub event_name: String,
    /// How many.
    pub events: u64,
}

pub(in crate::store) async fn rows(
    connection: &mut PgConnection,
    account: &AccountId,
    first: i64,
    end: i64,
) -> Result<Vec<MinuteCount>, Error> {
    let rows = sqlx::query(MINUTES)
        .bind(account.as_str())
        .bind(super::second(first * 60))
        .bind(super::second(end * 60))
        .bind(MAX_ROWS)
        .fetch_all(connection)
        .await?;
    let read = |row: &sqlx::postgres::PgRow| {
        let minute = row.try_get::<DateTime<Utc>, _>(0)?.timestamp().div_euclid(60);
        Ok(MinuteCount { minute, event_name: row.try_get(1)?, events: row.try_get::<i64, _>(2)?.unsigned_abs() })
    };
    rows.iter().map(read).collect()
}
