//! The rows of the store. Invariant: rows and counts are read in one snapshot, so they must agree whatever is being written.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tokio::time::Instant;
use weir::domain::time::Timestamp;

use super::compare::Comparison;
use super::ledger::Ledger;

/// Which rows are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of the journals' accounts: the database serves others too.
    Accounts,
    /// All: the database was made for these runs, so a row of any other account is a stranger.
    Everything,
}

/// Waits until every accepted event is counted or nothing has moved for `patience`.
pub(super) async fn settle(url: &str, ledger: &Ledger, patience: Duration) -> Result<Duration, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let (accounts, accepted) = (ledger.accounts(), ledger.accepted());
    let (start, mut last, mut moved) = (Instant::now(), -1, Instant::now());
    loop {
        let stored: i64 =
            sqlx::query_scalar("SELECT coalesce(sum(events), 0)::bigint FROM event_counts WHERE account_id = ANY($1)")
                .bind(&accounts)
                .fetch_one(&mut connection)
                .await?;
        if stored != last {
            (last, moved) = (stored, Instant::now());
        }
        // Stored ones include some that no answer promised, so reaching the number is a hint, and standing still decides.
        let standing = if stored.unsigned_abs() >= accepted { patience / 10 } else { patience };
        if moved.elapsed() >= standing {
            return Ok(start.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Shows every row and every account's counts to the comparison.
pub(super) async fn read(
    url: &str,
    scope: Scope,
    accounts: &[String],
    comparison: &mut Comparison,
) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let whole = scope == Scope::Everything;
    let mut rows = sqlx::query("SELECT account_id, event_id, stored_at FROM events WHERE $1 OR account_id = ANY($2)")
        .bind(whole)
        .bind(accounts)
        .fetch(&mut *snapshot);
    while let Some(row) = rows.try_next().await? {
        let stored_at: chrono::DateTime<chrono::Utc> = row.try_get(2)?;
        comparison.row(row.try_get(0)?, row.try_get(1)?, Timestamp::from(stored_at).micros());
    }
    drop(rows);
    let mut sums = sqlx::query(
        "SELECT account_id, sum(events)::bigint FROM event_counts WHERE $1 OR account_id = ANY($2) GROUP BY account_id",
    )
    .bind(whole)
    .bind(accounts)
    .fetch(&mut *snapshot);
    while let Some(row) = sums.try_next().await? {
        comparison.counts(row.try_get(0)?, row.try_get(1)?);
    }
    drop(sums);
    snapshot.rollback().await
}
