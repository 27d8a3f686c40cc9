//! Counts and top users of a window. A window with many events is widened to whole buckets first: its two ends would cost more
//! than all the rest, and the answer says what it is about; one with few is counted event by event ([`few`]). Invariant: of any other,
//! whole buckets come from `event_counts` and the two edges from `events`, in one snapshot, so the sum is the number of events in the
//! window, exactly.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use super::buckets::ByBucket;
use super::few;
use super::sketches::{self, Approximation};
use super::tops::Tops;
use crate::domain::id::AccountId;
use crate::domain::window::Window;

/// Most event names of one answer; the total counts them all.
pub(super) const MAX_NAMES: usize = 1_000;

/// Events of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventCount {
    /// The name.
    pub event_name: String,
    /// How many.
    pub events: u64,
}

/// Events of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCount {
    /// The user.
    pub user_id: String,
    /// How many.
    pub events: u64,
}

/// How an answer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Users it names.
    pub top: u16,
    /// Most events of a window that is summed up by one look at them.
    pub few: u64,
    /// Most events of a window whose users are counted; above, they are estimated.
    pub exact: u64,
}

/// What a summary is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryRows {
    /// The window it is about.
    pub window: Window,
    /// All events of the window.
    pub total_events: u64,
    /// By name, most frequent first.
    pub counts: Vec<EventCount>,
    /// Most active users, most active first; `None` when there are too many events without sketches.
    pub top_users: Option<Vec<UserCount>>,
    /// How far top users may be from the truth; `None` when they were counted.
    pub approximation: Option<Approximation>,
}

/// Events by name in the buckets that touch the window, and by bucket. That is the answer for whole buckets, and says of any
/// other window whether its users and its two ends can be counted.
pub(super) const BUCKETS: &str = "
    WITH part AS (SELECT event_name, bucket, sum(events)::bigint AS events
                    FROM event_counts
                   WHERE account_id = $1 AND bucket >= $2 AND bucket < $3
                   GROUP BY GROUPING SETS ((event_name), (bucket)))
    (SELECT event_name, events, NULL::timestamptz AS bucket FROM part WHERE bucket IS NULL ORDER BY 2 DESC, 1 LIMIT $4)
     UNION ALL
     SELECT NULL, events, bucket FROM part WHERE bucket IS NOT NULL";

/// By name in a window that begins or ends inside a bucket, and all of them: events ($2 to $3), whole buckets ($3 to $4), events ($4 to $5).
pub(super) const EDGES: &str = "
    SELECT event_name, sum(events)::bigint AS events, (sum(sum(events)) OVER ())::bigint AS total
      FROM (SELECT event_name, events
              FROM event_counts
             WHERE account_id = $1 AND bucket >= $3 AND bucket < $4
             UNION ALL
            SELECT event_name, count(*)
              FROM events
             WHERE account_id = $1 AND occurred_at >= $2 AND occurred_at < $3
             GROUP BY event_name
             UNION ALL
            SELECT event_name, count(*)
              FROM events
             WHERE account_id = $1 AND occurred_at >= $4 AND occurred_at < $5
             GROUP BY event_name) AS part (event_name, events)
     GROUP BY event_name
     ORDER BY 2 DESC, 1
     LIMIT $6";

/// The most active users, counted.
pub(super) const ACTIVE: &str = "
    SELECT user_id, count(*)
      FROM events
     WHERE account_id = $1 AND occurred_at >= $2 AND occurred_at < $3
     GROUP BY user_id
     ORDER BY 2 DESC, 1
     LIMIT $4";

pub(in crate::store) async fn rows(
    connection: &mut PgConnection,
    tops: &Tops,
    account: &AccountId,
    window: Window,
    bounds: Bounds,
) -> Result<SummaryRows, Error> {
    // A window that ends inside a bucket is always looked at: its buckets may hold many more than it does, and widening it, or not, must
    // not depend on what this process remembers.
    if bounds.few > 0 && (window.widened() != window || !tops.has_many(account)) {
        if let Some(found) = few::rows(connection, account, window, bounds).await? {
            return Ok(found);
        }
        tops.saw_many(account);
    }
    let (counts, buckets) = in_buckets(connection, account, window).await?;
    let total_events = buckets.total();
    let found = SummaryRows { window, total_events, counts, top_users: None, approximation: None };
    if total_events > bounds.exact {
        return estimated(connection, tops, account, (found, &buckets), bounds.top).await;
    }
    let [start, first, last, end] = cuts(window);
    let (total_events, counts) = if start == first && last == end {
        (found.total_events, found.counts)
    } else {
        let with_edges = sqlx::query(EDGES)
            .bind(account.as_str())
            .bind(start)
            .bind(first)
            .bind(last)
            .bind(end)
            .bind(MAX_NAMES as i64)
            .fetch_all(&mut *connection)
            .await?;
        names(&with_edges)?
    };
    let active = sqlx::query(ACTIVE)
        .bind(account.as_str())
        .bind(start)
        .bind(end)
        .bind(i64::from(bounds.top))
        .fetch_all(connection)
        .await?;
    let user = |row: &PgRow| Ok(UserCount { user_id: row.try_get(0)?, events: number(row, 1)? });
    let top_users = active.iter().map(user).collect::<Result<_, Error>>()?;
    Ok(SummaryRows { window, total_events, counts, top_users: Some(top_users), approximation: None })
}

/// What [`BUCKETS`] says: events by name, and by bucket.
async fn in_buckets(
    connection: &mut PgConnection,
    account: &AccountId,
    window: Window,
) -> Result<(Vec<EventCount>, ByBucket), Error> {
    let (first, end) = window.touched_buckets();
    let rows = sqlx::query(BUCKETS)
        .bind(account.as_str())
        .bind(super::second(first))
        .bind(super::second(end))
        .bind(MAX_NAMES as i64)
        .fetch_all(connection)
        .await?;
    let (mut counts, mut buckets) = (Vec::new(), ByBucket::default());
    for row in &rows {
        match row.try_get::<Option<DateTime<Utc>>, _>(2)? {
            Some(bucket) => buckets.add(bucket, number(row, 1)?),
            None => counts.push(EventCount { event_name: row.try_get(0)?, events: number(row, 1)? }),
        }
    }
    Ok((counts, buckets))
}

/// All events, and those of each name.
fn names(rows: &[PgRow]) -> Result<(u64, Vec<EventCount>), Error> {
    let total = rows.first().map_or(Ok(0), |row| number(row, 2))?;
    let name = |row: &PgRow| Ok(EventCount { event_name: row.try_get(0)?, events: number(row, 1)? });
    Ok((total, rows.iter().map(name).collect::<Result<_, Error>>()?))
}

/// The same of a window with too many events to look at each.
async fn estimated(
    connection: &mut PgConnection,
    tops: &Tops,
    account: &AccountId,
    (counted, buckets): (SummaryRows, &ByBucket),
    top: u16,
) -> Result<SummaryRows, Error> {
    let window = counted.window.widened();
    let (top_users, approximation) = match sketches::cover(connection, account, window, buckets).await? {
        Some(cover) => {
            let (users, approximation) = tops.of(connection, account, &cover, top).await?;
            (Some(users), Some(approximation))
        }
        None => (None, None),
    };
    Ok(SummaryRows { window, top_users, approximation, ..counted })
}

pub(super) fn number(row: &PgRow, at: usize) -> Result<u64, Error> {
    row.try_get::<i64, _>(at).map(i64::unsigned_abs)
}

/// Where the window is cut: events, whole buckets, events. Without a whole bucket the first part is all of it.
pub(super) fn cuts(window: Window) -> [DateTime<Utc>; 4] {
    let (start, end) = (window.from_seconds(), window.to_seconds() + 1);
    let (first, last) = window.whole_buckets().unwrap_or((end, end));
    [start, first, last, end].map(super::second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn seconds(from: i64, to: i64) -> [i64; 4] {
        let at = |seconds| Timestamp::from_unix_seconds(seconds).expect("time");
        cuts(Window::new(at(from), at(to), 1_000_000).expect("window")).map(|cut| cut.timestamp())
    }

    #[test]
    fn a_window_is_edge_buckets_edge() {
        assert_eq!(seconds(100, 2_000), [100, 900, 1_800, 2_001]);
        assert_eq!(seconds(0, 899), [0, 0, 900, 900]);
    }

    #[test]
    fn a_window_without_a_whole_bucket_is_all_edge() {
        assert_eq!(seconds(100, 800), [100, 801, 801, 801]);
        assert_eq!(seconds(800, 1_000), [800, 1_001, 1_001, 1_001]);
    }
}
