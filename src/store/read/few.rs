//! Counts and top users of a window with few events: one look at the events themselves says all, where counts by bucket would be about
//! as many rows as there are events. Invariant: an answer comes from every event of the window, or there is none.

use std::collections::HashMap;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use super::second;
use super::summary::{Bounds, EventCount, MAX_NAMES, SummaryRows, UserCount, number};
use crate::domain::id::AccountId;
use crate::domain::window::Window;

/// What stands between two texts of one answer: ASCII's unit separator.
const BETWEEN: char = '\u{1f}';

/// The names and the users, counted here: a processor of Postgres is the dearest there is, and grouping both costs it as much as reading
/// them. The order is that of the index; without one, Postgres would rather look through a partition that holds many accounts until
/// it has found enough.
pub(super) const FEW: &str = "
    SELECT count(*), string_agg(event_name, chr(31)), string_agg(user_id, chr(31))
      FROM (SELECT event_name, user_id
              FROM events
             WHERE account_id = $1 AND occurred_at >= $2 AND occurred_at < $3
             ORDER BY account_id, occurred_at
             LIMIT $4) AS few";

/// The summary of a window; `None` when it holds more than few events, or one whose texts hold what stands between them.
pub(super) async fn rows(
    connection: &mut PgConnection,
    account: &AccountId,
    window: Window,
    bounds: Bounds,
) -> Result<Option<SummaryRows>, Error> {
    let most = bounds.few.min(bounds.exact);
    let row = sqlx::query(FEW)
        .bind(account.as_str())
        .bind(second(window.from_seconds()))
        .bind(second(window.to_seconds() + 1))
        .bind(i64::try_from(most + 1).unwrap_or(i64::MAX))
        .fetch_one(connection)
        .await?;
    let total_events = number(&row, 0)?;
    if total_events > most {
        return Ok(None);
    }
    let (Some(names), Some(users)) = (ranked(&row, 1, total_events)?, ranked(&row, 2, total_events)?) else {
        return Ok(None);
    };
    let count = |(name, events): (&str, u64)| EventCount { event_name: name.to_owned(), events };
    let user = |(user, events): (&str, u64)| UserCount { user_id: user.to_owned(), events };
    let counts = names.into_iter().take(MAX_NAMES).map(count).collect();
    let users = users.into_iter().take(usize::from(bounds.top)).map(user).collect();
    Ok(Some(SummaryRows { window, total_events, counts, top_users: Some(users), approximation: None }))
}

/// The texts of a column, most frequent first.
fn ranked(row: &PgRow, column: usize, events: u64) -> Result<Option<Vec<(&str, u64)>>, Error> {
    let joined = row.try_get::<Option<&str>, _>(column)?;
    Ok(joined.map_or(Some(Vec::new()), |joined| rank(joined, events)))
}

/// `None` when there are not as many as there should be.
fn rank(joined: &str, events: u64) -> Option<Vec<(&str, u64)>> {
    let mut found = HashMap::new();
    for text in joined.split(BETWEEN) {
        *found.entry(text).or_insert(0) += 1;
    }
    if found.values().sum::<u64>() != events {
        return None;
    }
    let mut ranked: Vec<_> = found.into_iter().collect();
    ranked.sort_unstable_by(|(one, more), (other, fewer)| (fewer, one).cmp(&(more, other)));
    Some(ranked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_counted_and_ranked() {
        assert_eq!(rank("b\u{1f}a\u{1f}c\u{1f}c", 4), Some(vec![("c", 2), ("a", 1), ("b", 1)]));
        assert_eq!(rank("", 1), Some(vec![("", 1)]));
    }

    #[test]
    fn a_text_that_cannot_be_told_from_two_is_no_answer() {
        assert_eq!(rank("a\u{1f}b", 1), None);
    }
}
