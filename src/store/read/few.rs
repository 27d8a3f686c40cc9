//! Counts and top users of a window with few events: one look at the events themselves says all, where counts by bucket would be about
//! as many rows as there are events. Invariant: an answer comes from every event of the window, or there is none.

use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use super::second;
use super::summary::{Bounds, EventCount, MAX_NAMES, SummaryRows, UserCount};
use crate::domain::id::AccountId;
use crate::domain::window::Window;

/// The order is that of the index; without one, Postgres would rather look through a partition that holds many accounts until it has
/// found enough.
pub(super) const FEW: &str = "
    SELECT event_name, user_id, count(*)
      FROM (SELECT event_name, user_id
              FROM events
             WHERE account_id = $1 AND occurred_at >= $2 AND occurred_at < $3
             ORDER BY account_id, occurred_at
             LIMIT $4) AS few
     GROUP BY GROUPING SETS ((event_name), (user_id))";

/// The summary of a window; `None` when it holds more than few events.
pub(super) async fn rows(
    connection: &mut PgConnection,
    account: &AccountId,
    window: Window,
    bounds: Bounds,
) -> Result<Option<SummaryRows>, Error> {
    let most = bounds.few.min(bounds.exact);
    let rows = sqlx::query(FEW)
        .bind(account.as_str())
        .bind(second(window.from_seconds()))
        .bind(second(window.to_seconds() + 1))
        .bind(i64::try_from(most + 1).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let (mut counts, mut users) = (Vec::new(), Vec::new());
    for row in &rows {
        let events = row.try_get::<i64, _>(2)?.unsigned_abs();
        match row.try_get::<Option<String>, _>(0)? {
            Some(event_name) => counts.push(EventCount { event_name, events }),
            None => users.push(UserCount { user_id: row.try_get(1)?, events }),
        }
    }
    let total_events = counts.iter().map(|count| count.events).sum();
    if total_events > most {
        return Ok(None);
    }
    counts.sort_unstable_by(|one, other| (other.events, &one.event_name).cmp(&(one.events, &other.event_name)));
    counts.truncate(MAX_NAMES);
    users.sort_unstable_by(|one, other| (other.events, &one.user_id).cmp(&(one.events, &other.user_id)));
    users.truncate(usize::from(bounds.top));
    Ok(Some(SummaryRows { window, total_events, counts, top_users: Some(users), approximation: None }))
}
