//! What is older than events are kept goes. Invariant: `retained_from` is committed before the first row goes, one worker at a
//! time clears, and a step deletes no more than [`MOST`] events; the counts of an account go with the last of its old events.
//!
//! `event_counts` says where old events are: an account's first bucket stands first in its key, so that looking at an account
//! that has nothing old costs one index probe a partition, and nothing is ever scanned.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Error};

use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;

/// Most events of one transaction.
const MOST: i64 = 2_000;

/// Most accounts looked at in one transaction.
const LOOKS: usize = 500;

/// Names the lock of the one that clears; any constant that no other advisory lock of the database uses.
const LOCK: i64 = 0x7765_6972_0001;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retired {
    /// Another worker clears.
    Elsewhere,
    /// Nothing before the time is left.
    Done,
    /// So many events went; go on after this account.
    More {
        /// Events deleted.
        events: u64,
        /// Where to go on; `None` for the first account.
        after: Option<AccountId>,
    },
}

/// Clears up to [`MOST`] events before `before`, of accounts behind `after`.
pub(in crate::store) async fn step(
    connection: &mut PgConnection,
    limit: Duration,
    before: Timestamp,
    after: Option<&AccountId>,
) -> Result<Retired, Error> {
    if after.is_none() && advance(connection, before).await? {
        return Ok(Retired::Done);
    }
    let mut transaction = connection.begin_with(AssertSqlSafe(super::begin(limit))).await?;
    let mine: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(LOCK).fetch_one(&mut *transaction).await?;
    if !mine {
        return Ok(Retired::Elsewhere);
    }
    let mut reached = after.cloned();
    let mut events = 0;
    for _ in 0..LOOKS {
        let next = next_account(&mut transaction, reached.as_ref()).await?;
        let Some((account, first)) = next else {
            cleared(&mut transaction, before).await?;
            transaction.commit().await?;
            return Ok(if events == 0 { Retired::Done } else { Retired::More { events, after: reached } });
        };
        if first < before.to_chrono() {
            let gone = delete(&mut transaction, &account, before).await?;
            events += gone;
            if gone == MOST as u64 {
                break;
            }
        }
        reached = Some(account);
    }
    transaction.commit().await?;
    Ok(Retired::More { events, after: reached })
}

/// Moves the beginning of history; whether everything before it is cleared already.
async fn advance(connection: &mut PgConnection, before: Timestamp) -> Result<bool, Error> {
    const ADVANCE: &str = "UPDATE retention SET retained_from = $1 WHERE retained_from < $1";
    sqlx::query(ADVANCE).bind(before.to_chrono()).execute(&mut *connection).await?;
    sqlx::query_scalar("SELECT cleared_to >= $1 FROM retention").bind(before.to_chrono()).fetch_one(connection).await
}

async fn cleared(connection: &mut PgConnection, to: Timestamp) -> Result<(), Error> {
    const CLEARED: &str = "UPDATE retention SET cleared_to = GREATEST(cleared_to, $1)";
    sqlx::query(CLEARED).bind(to.to_chrono()).execute(connection).await.map(drop)
}

/// The account behind `after` and its first bucket.
async fn next_account(
    connection: &mut PgConnection,
    after: Option<&AccountId>,
) -> Result<Option<(AccountId, DateTime<Utc>)>, Error> {
    const NEXT: &str = "
        SELECT account_id, bucket FROM event_counts WHERE account_id > $1 ORDER BY account_id, bucket LIMIT 1";
    let row: Option<(String, DateTime<Utc>)> =
        sqlx::query_as(NEXT).bind(after.map_or("", AccountId::as_str)).fetch_optional(connection).await?;
    row.map(|(account, bucket)| match AccountId::new(&account) {
        Ok(account) => Ok((account, bucket)),
        Err(error) => Err(Error::Decode(error.into())),
    })
    .transpose()
}

/// Deletes up to [`MOST`] old events of an account, and what was derived from them once none is left.
async fn delete(connection: &mut PgConnection, account: &AccountId, before: Timestamp) -> Result<u64, Error> {
    const EVENTS: &str = "
        DELETE FROM events
         WHERE account_id = $1
           AND event_id IN (SELECT event_id FROM events WHERE account_id = $1 AND occurred_at < $2
                             ORDER BY occurred_at, event_id LIMIT $3)";
    const COUNTS: &str = "DELETE FROM event_counts WHERE account_id = $1 AND bucket < $2";
    const SKETCHES: &str = "DELETE FROM sketches WHERE account_id = $1 AND bucket < $2";
    let query = sqlx::query(EVENTS).bind(account.as_str()).bind(before.to_chrono()).bind(MOST);
    let gone = query.execute(&mut *connection).await?.rows_affected();
    if gone < MOST as u64 {
        for derived in [COUNTS, SKETCHES] {
            sqlx::query(derived).bind(account.as_str()).bind(before.to_chrono()).execute(&mut *connection).await?;
        }
    }
    Ok(gone)
}
