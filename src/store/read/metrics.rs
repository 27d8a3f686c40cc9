//! One event name over a window, whole and in groups. Invariant: events and value sums come from whole buckets of
//! `event_counts` and from `events` at the two edges, in one snapshot, so they are exact whatever the size of the account.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use super::buckets::ByBucket;
use super::sketches::{self, Approximation};
use super::summary::cuts;
use crate::domain::id::AccountId;
use crate::domain::window::Window;

/// What groups are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// The event's channel.
    Channel,
    /// The hour of the day, in a time zone.
    Hour,
    /// The day, in a time zone.
    Day,
    /// The event's name; one group, because a name is always asked for.
    EventName,
    /// The event's source; events without one are in the group of the empty text.
    Source,
}

/// Which events are measured, and in which groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsFilter {
    /// The events' name.
    pub event_name: String,
    /// When they happened.
    pub window: Window,
    /// The groups, if any.
    pub group_by: Option<GroupBy>,
    /// IANA name of the zone of hours and days.
    pub time_zone: &'static str,
    /// Only groups after this key.
    pub after: Option<String>,
    /// Most groups.
    pub limit: u16,
}

/// Events and values of one group. Sums and averages are the exact decimal texts of Postgres.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// How many events.
    pub events: u64,
    /// How many of them have a value.
    pub values: u64,
    /// Sum of the values; `None` without any.
    pub sum: Option<String>,
    /// Their average; `None` without any.
    pub average: Option<String>,
}

/// What a question for metrics found.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsRows {
    /// All of the window.
    pub total: Measured,
    /// Their users; `None` when there are too many events without sketches.
    pub users: Option<u64>,
    /// By group, when groups are asked for.
    pub groups: Vec<Group<Measured>>,
    /// Users by group, as `users`.
    pub group_users: Vec<Group<u64>>,
    /// How far users may be from the truth; `None` when they were counted.
    pub approximation: Option<Approximation>,
}

/// A group's key (for hours and days the UTC time of its start, `YYYY-MM-DDTHH:MM:SSZ`) and what it holds.
pub type Group<T> = (String, T);

// The comparison of the time zone with nothing gives its parameter a type where no key uses it.
macro_rules! measure {
    ($bucket_key:literal, $row_key:literal) => {
        concat!(
            "SELECT key, sum(events)::bigint, sum(value_count)::bigint, sum(value_sum)::text,
                    (sum(value_sum) / NULLIF(sum(value_count), 0))::text
               FROM (SELECT ",
            $bucket_key,
            " AS key, events, value_count, value_sum
                       FROM event_counts
                      WHERE account_id = $1 AND event_name = $2 AND bucket >= $4 AND bucket < $5
                      UNION ALL
                     SELECT ",
            $row_key,
            ", 1, (value IS NOT NULL)::int, COALESCE(value, 0)
                       FROM events
                      WHERE account_id = $1 AND event_name = $2 AND occurred_at >= $3 AND occurred_at < $4
                      UNION ALL
                     SELECT ",
            $row_key,
            ", 1, (value IS NOT NULL)::int, COALESCE(value, 0)
                       FROM events
                      WHERE account_id = $1 AND event_name = $2 AND occurred_at >= $5 AND occurred_at < $6) AS part
              WHERE ($7::text IS NULL OR $7 <> '') AND ($8::text IS NULL OR key > $8)
              GROUP BY key
              ORDER BY key
              LIMIT $9"
        )
    };
}

macro_rules! users {
    ($row_key:literal) => {
        concat!(
            "SELECT key, count(DISTINCT user_id)
               FROM (SELECT ",
            $row_key,
            " AS key, user_id
                       FROM events
                      WHERE account_id = $1 AND event_name = $2 AND occurred_at >= $3 AND occurred_at < $4) AS part
              WHERE ($5::text IS NULL OR $5 <> '') AND ($6::text IS NULL OR key > $6)
              GROUP BY key
              ORDER BY key
              LIMIT $7"
        )
    };
}

/// Upper bound of the events of a window, all names: the buckets that touch it.
const TOUCHED: &str = "
    SELECT COALESCE(sum(events), 0)::bigint FROM event_counts WHERE account_id = $1 AND bucket >= $2 AND bucket < $3";

pub(super) fn measure_sql(group_by: Option<GroupBy>) -> &'static str {
    match group_by {
        None => measure!("''", "''"),
        Some(GroupBy::Channel) => measure!("channel", "channel"),
        Some(GroupBy::EventName) => measure!("event_name", "event_name"),
        Some(GroupBy::Hour) => measure!(
            r#"to_char(date_trunc('hour', bucket, $7) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#,
            r#"to_char(date_trunc('hour', occurred_at, $7) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#
        ),
        Some(GroupBy::Day) => measure!(
            r#"to_char(date_trunc('day', bucket, $7) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#,
            r#"to_char(date_trunc('day', occurred_at, $7) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#
        ),
        // Counts know no source: the caller has made sure that the window is small enough to read the events themselves.
        Some(GroupBy::Source) => measure!("''", "COALESCE(source, '')"),
    }
}

fn users_sql(group_by: Option<GroupBy>) -> &'static str {
    match group_by {
        None => users!("''"),
        Some(GroupBy::Channel) => users!("channel"),
        Some(GroupBy::EventName) => users!("event_name"),
        Some(GroupBy::Hour) => {
            users!(r#"to_char(date_trunc('hour', occurred_at, $5) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#)
        }
        Some(GroupBy::Day) => {
            users!(r#"to_char(date_trunc('day', occurred_at, $5) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#)
        }
        Some(GroupBy::Source) => users!("COALESCE(source, '')"),
    }
}

pub(in crate::store) async fn rows(
    connection: &mut PgConnection,
    account: &AccountId,
    filter: &MetricsFilter,
    exact: u64,
) -> Result<MetricsRows, Error> {
    let countable = touched(connection, account, filter.window).await? <= exact;
    let whole = MetricsFilter { group_by: None, after: None, limit: 1, ..filter.clone() };
    let total = measured(connection, account, &whole).await?.pop().map(|(_, total)| total).unwrap_or_default();
    let mut found =
        MetricsRows { total, users: None, groups: Vec::new(), group_users: Vec::new(), approximation: None };
    if filter.group_by.is_some() && (countable || filter.group_by != Some(GroupBy::Source)) {
        found.groups = measured(connection, account, filter).await?;
    }
    if countable {
        let users = distinct_users(connection, account, &whole).await?.pop();
        found.users = Some(users.map_or(0, |(_, users)| users));
        if filter.group_by.is_some() {
            found.group_users = distinct_users(connection, account, filter).await?;
        }
        return Ok(found);
    }
    let buckets = ByBucket::read(connection, account, filter.window).await?;
    if let Some(cover) = sketches::cover(connection, account, filter.window, &buckets).await? {
        let (users, approximation) = sketches::users(connection, account, (&whole, None), &cover).await?;
        found.users = Some(users.first().map_or(0, |(_, users)| *users));
        found.approximation = Some(approximation);
        if let Some((last, _)) = found.groups.last() {
            found.group_users = sketches::users(connection, account, (filter, Some(last)), &cover).await?.0;
        }
    }
    Ok(found)
}

/// How many events of the account, of all names, the buckets of the window hold; never fewer than the window does.
async fn touched(connection: &mut PgConnection, account: &AccountId, window: Window) -> Result<u64, Error> {
    let (first, end) = window.touched_buckets();
    let row = sqlx::query(TOUCHED)
        .bind(account.as_str())
        .bind(super::second(first))
        .bind(super::second(end))
        .fetch_one(connection)
        .await?;
    row.try_get::<i64, _>(0).map(i64::unsigned_abs)
}

/// Events and values by group; without groups one row of the empty key, or none.
async fn measured(
    connection: &mut PgConnection,
    account: &AccountId,
    filter: &MetricsFilter,
) -> Result<Vec<Group<Measured>>, Error> {
    let [start, mut first, mut last, end] = cuts(filter.window);
    if filter.group_by == Some(GroupBy::Source) {
        // All of the window is edge.
        (first, last) = (end, end);
    }
    let rows = sqlx::query(measure_sql(filter.group_by))
        .bind(account.as_str())
        .bind(&filter.event_name)
        .bind(start)
        .bind(first)
        .bind(last)
        .bind(end)
        .bind(filter.time_zone)
        .bind(filter.after.as_deref())
        .bind(i64::from(filter.limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(group).collect()
}

/// Distinct users by group, counted one by one.
async fn distinct_users(
    connection: &mut PgConnection,
    account: &AccountId,
    filter: &MetricsFilter,
) -> Result<Vec<Group<u64>>, Error> {
    let [start, .., end] = cuts(filter.window);
    let rows = sqlx::query(users_sql(filter.group_by))
        .bind(account.as_str())
        .bind(&filter.event_name)
        .bind(start)
        .bind(end)
        .bind(filter.time_zone)
        .bind(filter.after.as_deref())
        .bind(i64::from(filter.limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)?.unsigned_abs()))).collect()
}

fn group(row: &PgRow) -> Result<Group<Measured>, Error> {
    let values = row.try_get::<i64, _>(2)?.unsigned_abs();
    let measured = Measured {
        events: row.try_get::<i64, _>(1)?.unsigned_abs(),
        values,
        sum: if values > 0 { row.try_get(3)? } else { None },
        average: row.try_get(4)?,
    };
    Ok((row.try_get(0)?, measured))
}
