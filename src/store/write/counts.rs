//! Counts of the rows just inserted. Invariant: groups are upserted in ascending key order, so that two writers meeting on the
//! same counts wait for each other and never deadlock.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::Error;
use sqlx::postgres::PgConnection;

use super::sum::Sum;
use crate::domain::event::Event;
use crate::domain::time::SECOND;
use crate::domain::window::bucket_of;

/// What is to be added to a sum travels as literals ([`Sum`]), which Postgres adds up: exact, whatever their size.
const UPSERT: &str = "
    INSERT INTO event_counts AS held (account_id, bucket, event_name, channel, events, value_count, value_sum)
    SELECT account_id, bucket, event_name, channel, events, value_count,
           COALESCE((SELECT sum(literal::numeric) FROM UNNEST(string_to_array(literals, ' ')) AS literal), 0)
      FROM UNNEST($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[])
           AS batch (account_id, bucket, event_name, channel, events, value_count, literals)
    ON CONFLICT (account_id, bucket, event_name, channel) DO UPDATE
       SET events = held.events + excluded.events,
           value_count = held.value_count + excluded.value_count,
           value_sum = held.value_sum + excluded.value_sum";

type Key<'a> = (&'a str, i64, &'a str, &'a str);

#[derive(Debug, Default, PartialEq, Eq)]
struct Group {
    events: i64,
    values: i64,
    sum: Sum,
}

/// Adds the events at `fresh` to their counts.
pub(super) async fn add(connection: &mut PgConnection, batch: &[Event<'_>], fresh: &[usize]) -> Result<(), Error> {
    if fresh.is_empty() {
        return Ok(());
    }
    let groups = group(fresh.iter().map(|&at| &batch[at]));
    sqlx::query(UPSERT)
        .bind(groups.keys().map(|key| key.0).collect::<Vec<&str>>())
        .bind(groups.keys().map(|key| start(key.1)).collect::<Vec<DateTime<Utc>>>())
        .bind(groups.keys().map(|key| key.2).collect::<Vec<&str>>())
        .bind(groups.keys().map(|key| key.3).collect::<Vec<&str>>())
        .bind(groups.values().map(|group| group.events).collect::<Vec<i64>>())
        .bind(groups.values().map(|group| group.values).collect::<Vec<i64>>())
        .bind(groups.values().map(|group| group.sum.to_string()).collect::<Vec<String>>())
        .execute(connection)
        .await
        .map(drop)
}

fn group<'a>(events: impl Iterator<Item = &'a Event<'a>>) -> BTreeMap<Key<'a>, Group> {
    let mut groups: BTreeMap<Key<'a>, Group> = BTreeMap::new();
    for event in events {
        let bucket = bucket_of(event.timestamp);
        let group =
            groups.entry((event.account_id.as_str(), bucket, &event.event_name, event.channel.as_str())).or_default();
        group.events += 1;
        if let Some(literal) = event.value.as_deref() {
            group.values += 1;
            group.sum.add(literal);
        }
    }
    groups
}

fn start(bucket: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(bucket * SECOND).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::store::write::samples::{event, with_value};

    #[test]
    fn groups_by_account_bucket_name_and_channel_in_order() {
        let mut late = event("a", "3");
        late.timestamp = Timestamp::from_unix_seconds(900).expect("time");
        let batch = [event("b", "1"), late, with_value("a", "1", "1.5"), with_value("a", "2", "2e3"), event("a", "4")];
        let groups = group(batch.iter());
        let keys: Vec<_> = groups.keys().map(|key| (key.0, key.1)).collect();
        assert_eq!(keys, [("a", 0), ("a", 900), ("b", 0)]);
        let first = groups.values().next().expect("group");
        assert_eq!((first.events, first.values, first.sum.to_string()), (3, 2, "1.5 2e3".to_owned()));
    }
}
