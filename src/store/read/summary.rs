//! Counts and top users of a window. A window with many events is widened to whole buckets first: its two ends would cost more
//! than all the rest, and the answer says what it is about. Invariant: whole buckets come from `event_counts` and the two edges from `events`, in one
//! snapshot, so the sum is the number of events in the window, exactly.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use super::sketches::{self, Approximation};
use crate::domain::id::AccountId;
use crate::domain::window::Window;

/// Most event names of one answer; the total counts them all.
const MAX_NAMES: i64 = 1_000;

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

/// All of it in one statement: how many events the buckets that touch the window hold ($2 to $3), and by that whether the window
/// is as asked for ($4 to $7, cut at its whole buckets $5 to $6) and its users are counted, or is all of those buckets. What is
/// not wanted is not read, because the planner tests `countable` once and before.
pub(super) const COUNTS: &str = "
    WITH part AS MATERIALIZED (
           SELECT bucket, event_name, events FROM event_counts WHERE account_id = $1 AND bucket >= $2 AND bucket < $3),
         size AS MATERIALIZED (SELECT COALESCE(sum(events), 0) <= $8 AS countable FROM part),
         counts AS (
           SELECT event_name, sum(events)::bigint AS events, (sum(sum(events)) OVER ())::bigint AS total
             FROM (SELECT event_name, events
                     FROM part
                    WHERE (bucket >= $5 AND bucket < $6) OR NOT (SELECT countable FROM size)
                    UNION ALL
                   SELECT event_name, count(*)
                     FROM events
                    WHERE account_id = $1 AND occurred_at >= $4 AND occurred_at < $5 AND (SELECT countable FROM size)
                    GROUP BY event_name
                    UNION ALL
                   SELECT event_name, count(*)
                     FROM events
                    WHERE account_id = $1 AND occurred_at >= $6 AND occurred_at < $7 AND (SELECT countable FROM size)
                    GROUP BY event_name) AS both_edges (event_name, events)
            GROUP BY event_name
            ORDER BY 2 DESC, 1
            LIMIT $9),
         active AS (
           SELECT user_id, count(*) AS events
             FROM events
            WHERE account_id = $1 AND occurred_at >= $4 AND occurred_at < $7 AND (SELECT countable FROM size)
            GROUP BY user_id
            ORDER BY 2 DESC, 1
            LIMIT $10)
    SELECT 'size' AS part, '' AS word, 0::bigint AS events, 0::bigint AS total FROM size WHERE countable
     UNION ALL
    SELECT 'name', event_name, events, total FROM counts
     UNION ALL
    SELECT 'user', user_id, events, 0 FROM active
     ORDER BY part, events DESC, word";

pub(in crate::store) async fn rows(
    connection: &mut PgConnection,
    account: &AccountId,
    window: Window,
    (top, exact): (u16, u64),
) -> Result<SummaryRows, Error> {
    let [start, first, last, end] = cuts(window);
    let (touched, touched_end) = window.touched_buckets();
    let rows = sqlx::query(COUNTS)
        .bind(account.as_str())
        .bind(super::second(touched))
        .bind(super::second(touched_end))
        .bind(start)
        .bind(first)
        .bind(last)
        .bind(end)
        .bind(i64::try_from(exact).unwrap_or(i64::MAX))
        .bind(MAX_NAMES)
        .bind(i64::from(top))
        .fetch_all(&mut *connection)
        .await?;
    let (mut countable, mut total_events, mut counts, mut users) = (false, 0, Vec::new(), Vec::new());
    for row in &rows {
        let (part, word, events): (&str, String, u64) = (row.try_get(0)?, row.try_get(1)?, number(row, 2)?);
        match part {
            "size" => countable = true,
            "name" => {
                total_events = number(row, 3)?;
                counts.push(EventCount { event_name: word, events });
            }
            _ => users.push(UserCount { user_id: word, events }),
        }
    }
    let found = SummaryRows { window, total_events, counts, top_users: Some(users), approximation: None };
    if countable { Ok(found) } else { estimated(connection, account, found, top).await }
}

/// The same of a window with too many events to look at each.
async fn estimated(
    connection: &mut PgConnection,
    account: &AccountId,
    counted: SummaryRows,
    top: u16,
) -> Result<SummaryRows, Error> {
    let window = counted.window.widened();
    let (top_users, approximation) = match sketches::cover(connection, account, window).await? {
        Some(cover) => {
            let (users, approximation) = sketches::top_users(connection, account, &cover, top).await?;
            (Some(users), Some(approximation))
        }
        None => (None, None),
    };
    Ok(SummaryRows { window, top_users, approximation, ..counted })
}

fn number(row: &PgRow, at: usize) -> Result<u64, Error> {
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
