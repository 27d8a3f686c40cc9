//! Sums for reports. Invariant: one transaction sees one instant, read-only; a tenant's names its account and sees that one.
//!
//! A monthly report adds up four months of minutes: with `work_mem` as it usually is Postgres would sort them on disk.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Error, Postgres, Row, Transaction};

use super::{AccountSums, Beside, Stretch, Whose};
use crate::domain::sli::{BINS, Sample};
use crate::store::read::literal;

const SUMS: &str = "
    sum(good)::bigint, sum(bad)::bigint, sum(client)::bigint, sum(le_10)::bigint, sum(le_25)::bigint, sum(le_50)::bigint,
    sum(le_100)::bigint, sum(le_250)::bigint, sum(le_500)::bigint, sum(le_1000)::bigint, sum(le_2500)::bigint,
    sum(le_5000)::bigint, sum(le_10000)::bigint, sum(slower)::bigint";

const SILENT: &str = "
    WITH alive AS (SELECT minute FROM sli_heartbeats),
         known AS (SELECT min(minute) AS first, max(minute) AS last FROM alive)
    SELECT extract(epoch FROM tick.at)::bigint
      FROM known, generate_series(greatest(to_timestamp($1), known.first),
                                  least(to_timestamp($2) - interval '1 minute', known.last),
                                  interval '1 minute') AS tick (at)
     WHERE NOT EXISTS (SELECT FROM alive WHERE alive.minute = tick.at)
     ORDER BY 1";

const ACCOUNTS: &str = "
    SELECT account_id, sum(good)::bigint, sum(bad)::bigint, sum(client)::bigint FROM sli_hours
     WHERE hour >= to_timestamp($1) AND hour < to_timestamp($2)
     GROUP BY account_id ORDER BY sum(bad) DESC, sum(good + bad + client) DESC, account_id LIMIT $3";

pub(super) async fn begin<'c>(
    connection: &'c mut PgConnection,
    whose: Whose<'_>,
    limit: Duration,
) -> Result<Transaction<'c, Postgres>, Error> {
    let ms = limit.as_millis();
    let sees = match whose {
        Whose::Everybody => "app.every_account = 'on'".to_owned(),
        Whose::Account(account) => format!("app.account_id = {}", literal(account.as_str())),
    };
    let opening = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {ms}; SET LOCAL work_mem = '64MB'; \
         SET LOCAL citus.propagate_set_commands = 'local'; SET LOCAL {sees}"
    );
    connection.begin_with(AssertSqlSafe(opening)).await
}

pub(super) async fn stretches(
    connection: &mut PgConnection,
    whose: Whose<'_>,
    (from, to): (i64, i64),
    step: i64,
) -> Result<Vec<Stretch>, Error> {
    let (table, time, account) = match whose {
        Whose::Everybody => ("sli_minutes", "minute", None),
        Whose::Account(account) => ("sli_hours", "hour", Some(account.as_str())),
    };
    let only = if account.is_some() { "AND account_id = $4" } else { "" };
    let sql = format!(
        "SELECT operation, extract(epoch FROM {time})::bigint / $3 * $3 AS at, {SUMS} FROM {table}
          WHERE {time} >= to_timestamp($1) AND {time} < to_timestamp($2) {only} GROUP BY 1, 2 ORDER BY 2, 1"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(from as f64).bind(to as f64).bind(step);
    let query = if let Some(account) = account { query.bind(account) } else { query };
    query.fetch_all(connection).await?.iter().map(stretch).collect()
}

fn stretch(row: &PgRow) -> Result<Stretch, Error> {
    Ok(Stretch { operation: row.try_get(0)?, at: row.try_get(1)?, sample: sample(row)? })
}

/// The sums, behind two other columns.
fn sample(row: &PgRow) -> Result<Sample, Error> {
    let count = |place: usize| row.try_get::<i64, _>(place).map(|count| u64::try_from(count).unwrap_or_default());
    let mut bins = [0; BINS];
    for (place, bin) in bins.iter_mut().enumerate() {
        *bin = count(5 + place)?;
    }
    Ok(Sample { good: count(2)?, bad: count(3)?, client: count(4)?, bins })
}

pub(super) async fn beside(
    connection: &mut PgConnection,
    (from, to): (i64, i64),
    (operations, spikes): (&[&str], &[(i64, String)]),
    most: i64,
) -> Result<Vec<Beside>, Error> {
    let sql = format!(
        "WITH spikes AS (SELECT to_timestamp(at) AS hour, account_id FROM UNNEST($4::bigint[], $5::text[]) AS s (at, account_id))
         SELECT h.account_id,
                EXISTS (SELECT FROM spikes WHERE spikes.hour = h.hour AND spikes.account_id <> h.account_id COLLATE \"C\"), {SUMS}
           FROM sli_hours h
          WHERE h.hour >= to_timestamp($1) AND h.hour < to_timestamp($2) AND operation = ANY($3)
            AND NOT EXISTS (SELECT FROM spikes WHERE spikes.hour = h.hour AND spikes.account_id = h.account_id COLLATE \"C\")
          GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $6"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(from as f64).bind(to as f64).bind(operations);
    let query = query.bind(spikes.iter().map(|(hour, _)| *hour).collect::<Vec<_>>());
    let query = query.bind(spikes.iter().map(|(_, account)| account.as_str()).collect::<Vec<_>>()).bind(most);
    let read = |row: &PgRow| Ok(Beside { account_id: row.try_get(0)?, spiking: row.try_get(1)?, sample: sample(row)? });
    query.fetch_all(connection).await?.iter().map(read).collect()
}

pub(super) async fn silent_minutes(connection: &mut PgConnection, from: i64, to: i64) -> Result<Vec<i64>, Error> {
    sqlx::query_scalar(SILENT).bind(from as f64).bind(to as f64).fetch_all(connection).await
}

pub(super) async fn accounts(
    connection: &mut PgConnection,
    from: i64,
    to: i64,
    limit: i64,
) -> Result<Vec<AccountSums>, Error> {
    let rows = sqlx::query(ACCOUNTS).bind(from as f64).bind(to as f64).bind(limit).fetch_all(connection).await?;
    let read = |row: &PgRow| {
        let count = |place: usize| row.try_get::<i64, _>(place).map(|count| u64::try_from(count).unwrap_or_default());
        Ok(AccountSums { account_id: row.try_get(0)?, good: count(1)?, bad: count(2)?, client: count(3)? })
    };
    rows.iter().map(read).collect()
}
