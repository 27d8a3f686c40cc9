//! Live counters: events by minute and by name over the last hour at most. Invariant: numbers come from Redis only while they
//! are known to be whole; else from Postgres, which heals Redis on the way.

use std::collections::BTreeMap;

use super::gate::Gate;
use super::{EventCount, QueryError};
use crate::cache::{Cache, Minutes, REST};
use crate::domain::id::AccountId;
use crate::domain::time::{SECOND, Timestamp};
use crate::store::{ApiStore, Database, MinuteCount};

/// Most minutes of one answer.
pub const MAX_MINUTES: u16 = 60;

/// Events may lie up to five minutes ahead.
const AHEAD: i64 = 5;

/// Seconds of a minute.
const MINUTE: i64 = 60;

/// Where the numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedBy {
    /// The live counters.
    Redis,
    /// The events themselves: Redis was away, or had lost them and has them again now.
    Postgres,
}

/// Events of the last minutes, by the minute in which they happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Every minute asked for, the oldest first, the current one last.
    pub minutes: Vec<(Timestamp, u64)>,
    /// By name over all of them, most frequent first; the empty name stands for all beyond 1,000 a minute.
    pub names: Vec<EventCount>,
    /// All together.
    pub total: u64,
    /// Where they come from.
    pub counted_by: CountedBy,
}

pub(super) async fn counters(
    (store, cache, gate): (&ApiStore, &Cache, &Gate),
    account: &AccountId,
    minutes: u16,
    now: Timestamp,
) -> Result<Counters, QueryError> {
    let current = now.unix_seconds().div_euclid(MINUTE);
    let wanted = current - i64::from(minutes.clamp(1, MAX_MINUTES)) + 1..current + 1;
    let found = cache.counted(account, wanted.clone()).await;
    if let Some((held, true)) = found {
        return Ok(answer(&held, wanted, CountedBy::Redis));
    }
    let all = current - i64::from(MAX_MINUTES) + 1..current + 1 + AHEAD;
    let permit = gate.enter(account).await?;
    let rows = store.minutes(account, all.start, all.end, Database::Primary).await?.value;
    drop(permit);
    let counted = by_minute(rows);
    if found.is_some() {
        cache.seed(account, all, &counted).await;
    }
    Ok(answer(&counted, wanted, CountedBy::Postgres))
}

fn by_minute(rows: Vec<MinuteCount>) -> Minutes {
    let mut minutes = Minutes::new();
    for MinuteCount { minute, event_name, events } in rows {
        minutes.entry(minute).or_default().insert(event_name, events);
    }
    minutes
}

fn answer(counted: &Minutes, wanted: std::ops::Range<i64>, counted_by: CountedBy) -> Counters {
    let (mut minutes, mut names, mut total) = (Vec::new(), BTreeMap::<&str, u64>::new(), 0);
    for minute in wanted {
        let mut events = 0;
        for (name, count) in counted.get(&minute).into_iter().flatten() {
            events += count;
            *names.entry(name).or_default() += count;
        }
        total += events;
        let start = Timestamp::from_micros((minute * MINUTE * SECOND).max(0)).unwrap_or(Timestamp::MAX);
        minutes.push((start, events));
    }
    let mut names: Vec<_> =
        names.into_iter().map(|(name, events)| EventCount { event_name: name.to_owned(), events }).collect();
    // The rest of all names goes last, however large.
    names.sort_by(|left, right| {
        let key = |count: &EventCount| (count.event_name == REST, std::cmp::Reverse(count.events));
        key(left).cmp(&key(right)).then_with(|| left.event_name.cmp(&right.event_name))
    });
    Counters { minutes, names, total, counted_by }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_minutes_are_told_and_names_are_ranked() {
        let row = |minute, name: &str, events| MinuteCount { minute, event_name: name.into(), events };
        let counted = by_minute(vec![row(10, "a", 1), row(12, "b", 3), row(12, REST, 9), row(99, "late", 5)]);
        let counters = answer(&counted, 10..13, CountedBy::Redis);
        let events: Vec<_> = counters.minutes.iter().map(|(start, events)| (start.unix_seconds(), *events)).collect();
        assert_eq!(events, [(600, 1), (660, 0), (720, 12)]);
        let names: Vec<_> = counters.names.iter().map(|count| count.event_name.as_str()).collect();
        assert_eq!((names, counters.total), (vec!["b", "a", REST], 13));
    }
}
