//! Users of windows too big to look at event by event: sketches where there are some, events for the rest. Invariant: every event
//! of the window is in exactly one of the two, except those that came since a sketch was built; those are told.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use super::buckets::ByBucket;
use super::metrics::{GroupBy, MetricsFilter};
use super::summary::cuts;
use super::tops::Build;
use crate::domain::id::AccountId;
use crate::domain::window::{BUCKET_SECONDS, Window};
use crate::store::sketch::AllUsers;

/// Most events outside of sketches that one answer looks at.
const MAX_LOOSE: u64 = 1_000_000;

/// Most sketches one answer merges.
const MAX_SKETCHES: i64 = 20_000;

/// How far estimates may be from the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Approximation {
    /// The truth is within this part of an estimate, 95 times in 100; for top users of the last one's number, always.
    pub relative_error: f64,
    /// Events that no sketch has seen yet.
    pub unseen_events: u64,
}

/// Sketched buckets with the events their sketches have seen and when they were built.
const SKETCHED: &str = "
    SELECT bucket, events, built_at
      FROM sketches
     WHERE account_id = $1 AND bucket >= $2 AND bucket < $3 AND event_name = '' AND channel = ''
     ORDER BY bucket
     LIMIT $4";

// The comparison of the time zone with nothing gives its parameter a type where no key uses it.
macro_rules! sketched {
    ($key:literal) => {
        concat!(
            "SELECT key, sketch
               FROM (SELECT ",
            $key,
            " AS key, sketch
                       FROM sketches
                      WHERE account_id = $1 AND event_name = $2 AND bucket >= $3 AND bucket < $4) AS part
              WHERE ($5::text IS NULL OR $5 <> '') AND ($6::text IS NULL OR key > $6)
                AND ($7::text IS NULL OR key <= $7)
              LIMIT $8"
        )
    };
}

macro_rules! loose {
    ($key:literal) => {
        concat!(
            "SELECT DISTINCT key, user_id
               FROM UNNEST($3::timestamptz[], $4::timestamptz[]) AS part (start, until)
              CROSS JOIN LATERAL (SELECT ",
            $key,
            " AS key, user_id
                                    FROM events
                                   WHERE account_id = $1 AND occurred_at >= start AND occurred_at < until
                                     AND event_name = $2 OFFSET 0) AS loose
              WHERE ($5::text IS NULL OR $5 <> '') AND ($6::text IS NULL OR key > $6)
                AND ($7::text IS NULL OR key <= $7)"
        )
    };
}

/// The statements for sketches and for loose events.
fn statements(group_by: Option<GroupBy>) -> (&'static str, &'static str) {
    match group_by {
        Some(GroupBy::Channel) => (sketched!("channel"), loose!("channel")),
        Some(GroupBy::EventName) => (sketched!("event_name"), loose!("event_name")),
        Some(GroupBy::Hour) => (
            sketched!(r#"to_char(date_trunc('hour', bucket, $5) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#),
            loose!(r#"to_char(date_trunc('hour', occurred_at, $5) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#),
        ),
        Some(GroupBy::Day) => (
            sketched!(r#"to_char(date_trunc('day', bucket, $5) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#),
            loose!(r#"to_char(date_trunc('day', occurred_at, $5) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#),
        ),
        None | Some(GroupBy::Source) => (sketched!("''"), loose!("''")),
    }
}

/// A window, parted.
pub(super) struct Cover {
    first: DateTime<Utc>,
    end: DateTime<Utc>,
    starts: Vec<DateTime<Utc>>,
    untils: Vec<DateTime<Utc>>,
    /// The sketches of all users, in order.
    pub(super) builds: Vec<Build>,
    /// Events that came since they were built.
    pub(super) unseen: u64,
}

/// Parts a window into sketched buckets and loose events, given what its buckets hold; `None` when there are too many of either.
pub(super) async fn cover(
    connection: &mut PgConnection,
    account: &AccountId,
    window: Window,
    buckets: &ByBucket,
) -> Result<Option<Cover>, Error> {
    let [start, first, end, until] = cuts(window);
    let rows = sqlx::query(SKETCHED)
        .bind(account.as_str())
        .bind(first)
        .bind(end)
        .bind(MAX_SKETCHES)
        .fetch_all(connection)
        .await?;
    let mut cover = Cover { first, end, starts: Vec::new(), untils: Vec::new(), builds: Vec::new(), unseen: 0 };
    let mut at = start;
    for row in &rows {
        let bucket: DateTime<Utc> = row.try_get(0)?;
        let build = Build { bucket: bucket.timestamp(), events: row.try_get(1)?, built_at: row.try_get(2)? };
        cover.unseen += buckets.of(build.bucket).abs_diff(build.events.unsigned_abs());
        cover.builds.push(build);
        cover.part(at, bucket);
        at = bucket + chrono::TimeDelta::seconds(BUCKET_SECONDS);
    }
    cover.part(at, until);
    let loose: u64 = cover
        .starts
        .iter()
        .zip(&cover.untils)
        .map(|(start, until)| buckets.touched(start.timestamp(), until.timestamp()))
        .sum();
    let small = loose <= MAX_LOOSE && (rows.len() as i64) < MAX_SKETCHES;
    Ok(small.then_some(cover))
}

impl Cover {
    /// The whole buckets of the window, as `[first, end)` in Unix seconds.
    pub(super) fn whole(&self) -> (i64, i64) {
        (self.first.timestamp(), self.end.timestamp())
    }

    /// Where no sketch is: starts and ends.
    pub(super) fn loose(&self) -> (&[DateTime<Utc>], &[DateTime<Utc>]) {
        (&self.starts, &self.untils)
    }

    fn part(&mut self, start: DateTime<Utc>, until: DateTime<Utc>) {
        if start < until {
            self.starts.push(start);
            self.untils.push(until);
        }
    }
}

/// Users by group, for the groups up to and including `last`.
pub(super) async fn users(
    connection: &mut PgConnection,
    account: &AccountId,
    (filter, last): (&MetricsFilter, Option<&str>),
    cover: &Cover,
) -> Result<(Vec<(String, u64)>, Approximation), Error> {
    let (sketched, loose) = statements(filter.group_by);
    let mut unions = BTreeMap::<String, AllUsers>::new();
    let mut rows = sqlx::query(sketched)
        .bind(account.as_str())
        .bind(&filter.event_name)
        .bind(cover.first)
        .bind(cover.end)
        .bind(filter.time_zone)
        .bind(filter.after.as_deref())
        .bind(last)
        .bind(MAX_SKETCHES)
        .fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        union(&mut unions, row.try_get(0)?)?.merge(row.try_get(1)?).map_err(unreadable)?;
    }
    drop(rows);
    let mut rows = sqlx::query(loose)
        .bind(account.as_str())
        .bind(&filter.event_name)
        .bind(&cover.starts)
        .bind(&cover.untils)
        .bind(filter.time_zone)
        .bind(filter.after.as_deref())
        .bind(last)
        .fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        union(&mut unions, row.try_get(0)?)?.add(row.try_get(1)?);
    }
    drop(rows);
    let relative_error = unions.values().map(AllUsers::relative_error).fold(0.0, f64::max);
    let counts = unions.into_iter().map(|(key, users)| (key, users.count())).collect();
    Ok((counts, Approximation { relative_error, unseen_events: cover.unseen }))
}

fn union(unions: &mut BTreeMap<String, AllUsers>, key: String) -> Result<&mut AllUsers, Error> {
    match unions.entry(key) {
        std::collections::btree_map::Entry::Occupied(held) => Ok(held.into_mut()),
        std::collections::btree_map::Entry::Vacant(place) => Ok(place.insert(AllUsers::new().map_err(unreadable)?)),
    }
}

pub(super) fn unreadable(error: datasketches::error::Error) -> Error {
    Error::Decode(error.to_string().into())
}
