//! A flush into its tables. Invariant: the number of the flush and its sums are one transaction, so a flush that is sent again
//! after a lost answer adds nothing.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Error};

use super::Flush;
use crate::domain::sli::Sample;

/// Most rows of one statement, whatever the flush holds.
const CHUNK: usize = 2_000;

/// Rows that one flush lets go at most.
const RETIRED: i64 = 5_000;

const BINS: [&str; 11] =
    ["le_10", "le_25", "le_50", "le_100", "le_250", "le_500", "le_1000", "le_2500", "le_5000", "le_10000", "slower"];

const NUMBER: &str = "
    INSERT INTO sli_flushes AS held (instance, flush_seq) VALUES ($1, $2)
    ON CONFLICT (instance) DO UPDATE SET flush_seq = excluded.flush_seq, flushed_at = now()
     WHERE held.flush_seq < excluded.flush_seq";

const ALIVE: &str = "
    INSERT INTO sli_heartbeats (minute) SELECT to_timestamp(m) FROM UNNEST($1::bigint[]) AS m ORDER BY m
    ON CONFLICT DO NOTHING";

const RETIRE: [&str; 4] = [
    "DELETE FROM sli_minutes WHERE (minute, operation) IN
        (SELECT minute, operation FROM sli_minutes WHERE minute < to_timestamp($1) ORDER BY minute LIMIT $2)",
    "DELETE FROM sli_hours WHERE (account_id, hour, operation) IN
        (SELECT account_id, hour, operation FROM sli_hours WHERE hour < to_timestamp($1) ORDER BY hour LIMIT $2)",
    "DELETE FROM sli_heartbeats WHERE minute IN
        (SELECT minute FROM sli_heartbeats WHERE minute < to_timestamp($1) ORDER BY minute LIMIT $2)",
    "DELETE FROM sli_flushes WHERE instance IN
        (SELECT instance FROM sli_flushes WHERE flushed_at < to_timestamp($1) LIMIT $2)",
];

/// Whether the flush was new. Its rows are sorted by key, so that instances that flush at once wait for each other and never
/// deadlock.
pub(super) async fn flush(connection: &mut PgConnection, flush: &Flush) -> Result<bool, Error> {
    let mut tx = connection.begin_with("BEGIN; SET LOCAL app.every_account = 'on'").await?;
    let number = sqlx::query(NUMBER).bind(&flush.instance).bind(flush.seq).execute(&mut *tx).await?;
    if number.rows_affected() == 0 {
        tx.rollback().await?;
        return Ok(false);
    }
    let minutes: Vec<_> =
        flush.sums.minutes.iter().map(|((at, operation), sample)| ("", *at, *operation, sample)).collect();
    add(&mut tx, &upsert("sli_minutes", "minute", ""), &minutes).await?;
    let hours = flush.sums.hours.iter();
    let hours: Vec<_> =
        hours.map(|((account, at, operation), sample)| (account.as_str(), *at, *operation, sample)).collect();
    add(&mut tx, &upsert("sli_hours", "hour", "account_id, "), &hours).await?;
    sqlx::query(ALIVE).bind(&flush.alive).execute(&mut *tx).await?;
    if let Some(keep_from) = flush.keep_from {
        for statement in RETIRE {
            sqlx::query(statement).bind(keep_from as f64).bind(RETIRED).execute(&mut *tx).await?;
        }
    }
    tx.commit().await?;
    Ok(true)
}

/// The statement that adds rows to one of the two tables; made of names in this file only.
fn upsert(table: &str, time: &str, account: &str) -> String {
    let columns = ["good", "bad", "client"].into_iter().chain(BINS);
    let names = columns.clone().collect::<Vec<_>>().join(", ");
    let values = (4..18).map(|place| format!("${place}::bigint[]")).collect::<Vec<_>>().join(", ");
    let sums = columns.map(|name| format!("{name} = held.{name} + excluded.{name}")).collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO {table} AS held ({account}{time}, operation, {names})
         SELECT {account}to_timestamp(at), operation, {names}
           FROM UNNEST($1::text[], $2::bigint[], $3::text[], {values}) AS batch (account_id, at, operation, {names})
         ON CONFLICT ({account}{time}, operation) DO UPDATE SET {sums}"
    )
}

type Row<'a> = (&'a str, i64, &'a str, &'a Sample);

async fn add(connection: &mut PgConnection, statement: &str, rows: &[Row<'_>]) -> Result<(), Error> {
    for rows in rows.chunks(CHUNK) {
        let column = |of: &dyn Fn(&Sample) -> u64| {
            rows.iter().map(|(.., sample)| i64::try_from(of(sample)).unwrap_or(i64::MAX)).collect::<Vec<i64>>()
        };
        let mut query = sqlx::query(AssertSqlSafe(statement.to_owned()))
            .bind(rows.iter().map(|row| row.0).collect::<Vec<&str>>())
            .bind(rows.iter().map(|row| row.1).collect::<Vec<i64>>())
            .bind(rows.iter().map(|row| row.2).collect::<Vec<&str>>())
            .bind(column(&|sample| sample.good))
            .bind(column(&|sample| sample.bad))
            .bind(column(&|sample| sample.client));
        for bin in 0..BINS.len() {
            query = query.bind(column(&|sample| sample.bins[bin]));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
