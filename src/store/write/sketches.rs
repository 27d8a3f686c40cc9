//! Building sketches from the events of one bucket. Invariant: a build reads one snapshot and replaces all rows of its bucket, so
//! their numbers of events belong together.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Error, Row};

use crate::domain::id::AccountId;
use crate::domain::window::BUCKET_SECONDS;
use crate::store::read::second;
use crate::store::sketch::{Top, Users};

/// A bucket of one account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket {
    /// Whose.
    pub account: AccountId,
    /// Its first second.
    pub start: i64,
}

const ROWS: &str = "
    SELECT event_name, channel, user_id, count(*)
      FROM events
     WHERE account_id = $1 AND occurred_at >= $2 AND occurred_at < $3
     GROUP BY event_name, channel, user_id";

const CLEAR: &str = "DELETE FROM sketches WHERE account_id = $1 AND bucket = $2";

const INSERT: &str = "
    INSERT INTO sketches (account_id, bucket, event_name, channel, events, sketch)
    SELECT $1, $2, event_name, channel, events, sketch
      FROM UNNEST($3::text[], $4::text[], $5::bigint[], $6::bytea[]) AS built (event_name, channel, events, sketch)
    ON CONFLICT (account_id, bucket, event_name, channel) DO UPDATE
       SET events = excluded.events, sketch = excluded.sketch, built_at = excluded.built_at";

/// Buckets with at least that many events whose sketches are missing or have seen another number.
const STALE_OF: &str = "
    SELECT counted.account_id, counted.bucket
      FROM (SELECT account_id, bucket, sum(events) AS events
              FROM event_counts
              JOIN UNNEST($1::text[], $2::timestamptz[]) AS asked (account_id, bucket) USING (account_id, bucket)
             GROUP BY 1, 2) AS counted
      LEFT JOIN sketches ON sketches.account_id = counted.account_id AND sketches.bucket = counted.bucket
                        AND sketches.event_name = '' AND sketches.channel = ''
     WHERE counted.events >= $3 AND sketches.events IS DISTINCT FROM counted.events";

/// The same over everything that is kept, newest first.
const STALE: &str = "
    SELECT counted.account_id, counted.bucket
      FROM (SELECT account_id, bucket, sum(events) AS events FROM event_counts GROUP BY 1, 2) AS counted
      LEFT JOIN sketches ON sketches.account_id = counted.account_id AND sketches.bucket = counted.bucket
                        AND sketches.event_name = '' AND sketches.channel = ''
     WHERE counted.events >= $1 AND sketches.events IS DISTINCT FROM counted.events
     ORDER BY counted.bucket DESC
     LIMIT $2";

pub(in crate::store) async fn stale_of(
    connection: &mut PgConnection,
    asked: &[Bucket],
    least: i64,
) -> Result<Vec<Bucket>, Error> {
    let rows = sqlx::query(STALE_OF)
        .bind(asked.iter().map(|bucket| bucket.account.as_str()).collect::<Vec<&str>>())
        .bind(asked.iter().map(|bucket| second(bucket.start)).collect::<Vec<DateTime<Utc>>>())
        .bind(least)
        .fetch_all(connection)
        .await?;
    rows.iter().map(bucket).collect()
}

pub(in crate::store) async fn stale(
    connection: &mut PgConnection,
    least: i64,
    most: i64,
) -> Result<Vec<Bucket>, Error> {
    let rows = sqlx::query(STALE).bind(least).bind(most).fetch_all(connection).await?;
    rows.iter().map(bucket).collect()
}

fn bucket(row: &sqlx::postgres::PgRow) -> Result<Bucket, Error> {
    let account = AccountId::new(row.try_get(0)?).map_err(|error| Error::Decode(error.into()))?;
    Ok(Bucket { account, start: row.try_get::<DateTime<Utc>, _>(1)?.timestamp() })
}

pub(in crate::store) async fn build(connection: &mut PgConnection, bucket: &Bucket) -> Result<(), Error> {
    let refused = |error: datasketches::error::Error| Error::Encode(error.to_string().into());
    let (account, start) = (bucket.account.as_str(), second(bucket.start));
    let mut top = Top::new().map_err(refused)?;
    let mut parts = BTreeMap::<(String, String), (i64, Users)>::new();
    let mut total = 0;
    let mut rows =
        sqlx::query(ROWS).bind(account).bind(start).bind(second(bucket.start + BUCKET_SECONDS)).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let (user, events) = (row.try_get::<&str, _>(2)?, row.try_get::<i64, _>(3)?);
        let key = (row.try_get(0)?, row.try_get(1)?);
        let (seen, users) = match parts.entry(key) {
            std::collections::btree_map::Entry::Occupied(part) => part.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert((0, Users::new().map_err(refused)?)),
        };
        *seen += events;
        total += events;
        users.add(user);
        top.add(user, events.unsigned_abs());
    }
    drop(rows);

    let whole = std::iter::once(("", "", total, top.write()));
    let parts = parts.iter().map(|((name, channel), (seen, users))| (&**name, &**channel, *seen, users.write()));
    let built: Vec<(&str, &str, i64, Vec<u8>)> = whole.chain(parts).collect();
    let mut transaction = connection.begin().await?;
    sqlx::query(CLEAR).bind(account).bind(start).execute(&mut *transaction).await?;
    sqlx::query(INSERT)
        .bind(account)
        .bind(start)
        .bind(built.iter().map(|row| row.0).collect::<Vec<&str>>())
        .bind(built.iter().map(|row| row.1).collect::<Vec<&str>>())
        .bind(built.iter().map(|row| row.2).collect::<Vec<i64>>())
        .bind(built.iter().map(|row| row.3.as_slice()).collect::<Vec<&[u8]>>())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}
