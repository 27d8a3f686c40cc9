//! Minutes of use. Invariant: writing a minute again never makes it smaller, so an old copy that comes late changes nothing.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use crate::domain::id::AccountId;
use crate::domain::usage::{Minute, Use};

/// Rows that one step lets go at most.
const RETIRED: i64 = 5_000;

/// In the order of the key, so that two writers wait for each other and never deadlock.
const PUT: &str = "
    INSERT INTO usage_minutes AS held (account_id, minute, offered, accepted, refused, bytes, peak_events, peak_second)
    SELECT account_id, to_timestamp(at), offered, accepted, refused, bytes, peak_events, peak_second
      FROM UNNEST($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::smallint[])
           AS told (account_id, at, offered, accepted, refused, bytes, peak_events, peak_second)
     ORDER BY account_id COLLATE \"C\", at
    ON CONFLICT (account_id, minute) DO UPDATE
       SET offered = excluded.offered, accepted = excluded.accepted, refused = excluded.refused,
           bytes = greatest(held.bytes, excluded.bytes), peak_events = excluded.peak_events, peak_second = excluded.peak_second
     WHERE excluded.offered >= held.offered";

const BETWEEN: &str = "
    SELECT extract(epoch FROM minute)::bigint, offered, accepted, refused, bytes, peak_events, peak_second FROM usage_minutes
     WHERE account_id = $1 AND minute >= to_timestamp($2) AND minute < to_timestamp($3) ORDER BY minute LIMIT $4";

const RETIRE: &str = "
    DELETE FROM usage_minutes WHERE (account_id, minute) IN
        (SELECT account_id, minute FROM usage_minutes WHERE minute < to_timestamp($1) ORDER BY minute LIMIT $2)";

pub(super) async fn put(tx: &mut PgConnection, minutes: &[(AccountId, Minute)]) -> Result<(), Error> {
    let column = |of: &dyn Fn(&Minute) -> i64| minutes.iter().map(|(_, minute)| of(minute)).collect::<Vec<i64>>();
    sqlx::query(PUT)
        .bind(minutes.iter().map(|(account, _)| account.as_str()).collect::<Vec<_>>())
        .bind(column(&|minute| minute.at))
        .bind(column(&|minute| minute.sums.offered))
        .bind(column(&|minute| minute.sums.accepted.max(0)))
        .bind(column(&|minute| minute.sums.refused))
        .bind(column(&|minute| minute.sums.bytes))
        .bind(column(&|minute| minute.peak_events))
        .bind(minutes.iter().map(|(_, minute)| i16::from(minute.peak_second)).collect::<Vec<_>>())
        .execute(tx)
        .await
        .map(drop)
}

pub(super) async fn between(
    tx: &mut PgConnection,
    account: &AccountId,
    (from, to): (i64, i64),
    most: i64,
) -> Result<Vec<Minute>, Error> {
    let query = sqlx::query(BETWEEN).bind(account.as_str()).bind(from as f64).bind(to as f64).bind(most);
    query.fetch_all(tx).await?.iter().map(minute).collect()
}

/// Accepted from `from` until before `to` (Unix seconds).
pub(super) async fn accepted(tx: &mut PgConnection, account: &AccountId, (from, to): (i64, i64)) -> Result<i64, Error> {
    let sql = "SELECT coalesce(sum(accepted), 0)::bigint FROM usage_minutes
                WHERE account_id = $1 AND minute >= to_timestamp($2) AND minute < to_timestamp($3)";
    sqlx::query_scalar(sql).bind(account.as_str()).bind(from as f64).bind(to as f64).fetch_one(tx).await
}

/// Whether nothing older is left.
pub(super) async fn retire(tx: &mut PgConnection, before: i64) -> Result<bool, Error> {
    let gone = sqlx::query(RETIRE).bind(before as f64).bind(RETIRED).execute(tx).await?;
    Ok(gone.rows_affected() < RETIRED.unsigned_abs())
}

fn minute(row: &PgRow) -> Result<Minute, Error> {
    let sums =
        Use { offered: row.try_get(1)?, accepted: row.try_get(2)?, refused: row.try_get(3)?, bytes: row.try_get(4)? };
    let second: i16 = row.try_get(6)?;
    let peak_second = u8::try_from(second).unwrap_or(0);
    Ok(Minute { at: row.try_get(0)?, sums, peak_events: row.try_get(5)?, peak_second })
}
