//! One event, and pages of events newest first. Invariant: a page costs its own length plus what its filters pass over, never
//! the length of the account, because it is a range of `events_by_time` read backwards.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use crate::domain::event::{Channel, Event};
use crate::domain::id::{AccountId, EventId};
use crate::domain::routes::Names;
use crate::domain::time::Timestamp;

/// An event as Postgres holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// What the tenant sent.
    pub event: Event<'static>,
    /// When its row was made.
    pub stored_at: Timestamp,
}

/// Which events a page is about; an absent field takes all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only of this name.
    pub event_name: Option<String>,
    /// Only of this user.
    pub user_id: Option<String>,
    /// Only of this channel.
    pub channel: Option<Channel>,
    /// Only of this source.
    pub source: Option<String>,
    /// Not before this time.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Only what comes after this place of the listing.
    pub after: Option<Position>,
}

/// A place in the listing: just after this event, going back in time. Stable while events come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// When the event occurred.
    pub occurred_at: Timestamp,
    /// Its id; breaks ties.
    pub event_id: EventId,
}

macro_rules! columns {
    () => {
        "occurred_at, received_at, stored_at, schema_version, account_id, event_id, event_name, user_id, channel, source,
         campaign_id, value::text, tags, metadata::text"
    };
}

pub(super) const ONE: &str = concat!("SELECT ", columns!(), " FROM events WHERE account_id = $1 AND event_id = $2");

const AMONG: &str = "SELECT count(*) FROM events WHERE account_id = $1 AND event_id = ANY($2)";

pub(super) const PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events
      WHERE account_id = $1 AND occurred_at >= $2 AND (occurred_at, event_id) < ($3, $4)
        AND ($5::text IS NULL OR event_name = $5) AND ($6::text IS NULL OR user_id = $6)
        AND ($7::text IS NULL OR channel = $7) AND ($8::text IS NULL OR source = $8)
      ORDER BY occurred_at DESC, event_id DESC
      LIMIT $9"
);

/// The names decide as `domain::routes` does.
pub(super) const LATEST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events
      WHERE account_id = $1
        AND COALESCE((SELECT own FROM UNNEST($2::text[], $3::bool[]) AS exact (name, own) WHERE name = event_name LIMIT 1),
                     (SELECT own FROM UNNEST($4::text[], $5::bool[]) WITH ORDINALITY AS begins (start, own, turn)
                       WHERE starts_with(event_name, start) ORDER BY turn LIMIT 1),
                     $6)
      ORDER BY occurred_at DESC, event_id DESC
      LIMIT $7"
);

pub(in crate::store) async fn latest(
    connection: &mut PgConnection,
    account: &AccountId,
    names: &Names,
    limit: u16,
) -> Result<Vec<StoredEvent>, Error> {
    let lists = |list: &[(String, bool)]| list.iter().cloned().unzip::<_, _, Vec<String>, Vec<bool>>();
    let ((exact, own_exact), (beginnings, own_beginnings)) = (lists(&names.exact), lists(&names.beginnings));
    let rows = sqlx::query(LATEST)
        .bind(account.as_str())
        .bind(exact)
        .bind(own_exact)
        .bind(beginnings)
        .bind(own_beginnings)
        .bind(names.others)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(stored_event).collect()
}

pub(in crate::store) async fn one(
    connection: &mut PgConnection,
    account: &AccountId,
    id: &EventId,
) -> Result<Option<StoredEvent>, Error> {
    let row = sqlx::query(ONE).bind(account.as_str()).bind(id.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(stored_event).transpose()
}

pub(in crate::store) async fn among(
    connection: &mut PgConnection,
    account: &AccountId,
    ids: &[EventId],
) -> Result<usize, Error> {
    let ids: Vec<&str> = ids.iter().map(EventId::as_str).collect();
    let row = sqlx::query(AMONG).bind(account.as_str()).bind(ids).fetch_one(connection).await?;
    Ok(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
}

pub(in crate::store) async fn page(
    connection: &mut PgConnection,
    account: &AccountId,
    filter: &EventFilter,
    limit: u16,
) -> Result<Vec<StoredEvent>, Error> {
    let (before, tie) = upper_bound(filter, filter.after.as_ref());
    let rows = sqlx::query(PAGE)
        .bind(account.as_str())
        .bind(filter.from.map_or(DateTime::<Utc>::UNIX_EPOCH, Timestamp::to_chrono))
        .bind(before)
        .bind(tie)
        .bind(filter.event_name.as_deref())
        .bind(filter.user_id.as_deref())
        .bind(filter.channel.map(Channel::as_str))
        .bind(filter.source.as_deref())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(stored_event).collect()
}

/// The first place that is not wanted: of the cursor and of the filter the earlier. No id sorts before the empty text, so
/// `(t, "")` is the start of `t` itself.
fn upper_bound<'a>(filter: &EventFilter, after: Option<&'a Position>) -> (DateTime<Utc>, &'a str) {
    let end = filter.until.unwrap_or(Timestamp::MAX);
    match after {
        Some(position) if position.occurred_at < end => (position.occurred_at.to_chrono(), position.event_id.as_str()),
        _ => (end.to_chrono(), ""),
    }
}

fn stored_event(row: &PgRow) -> Result<StoredEvent, Error> {
    let time = |at: usize| row.try_get::<DateTime<Utc>, _>(at).map(Timestamp::from);
    let optional = |at: usize| row.try_get::<Option<String>, _>(at).map(|text| text.map(Into::into));
    let channel: &str = row.try_get(8)?;
    let tags: Option<Vec<String>> = row.try_get(12)?;
    let event = Event {
        timestamp: time(0)?,
        received_at: time(1)?,
        schema_version: row.try_get(3)?,
        account_id: AccountId::new(row.try_get(4)?).map_err(|error| Error::Decode(error.into()))?,
        event_id: EventId::new(row.try_get(5)?).map_err(|error| Error::Decode(error.into()))?,
        event_name: row.try_get::<String, _>(6)?.into(),
        user_id: row.try_get::<String, _>(7)?.into(),
        channel: Channel::parse(channel).ok_or_else(|| Error::Decode(format!("no channel: {channel}").into()))?,
        source: optional(9)?,
        campaign_id: optional(10)?,
        value: optional(11)?,
        tags: tags.unwrap_or_default().into_iter().map(Into::into).collect(),
        metadata: optional(13)?,
    };
    Ok(StoredEvent { event, stored_at: time(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).expect("time")
    }

    #[test]
    fn the_earlier_of_cursor_and_filter_bounds_the_page() {
        let position = Position { occurred_at: at(50), event_id: EventId::new("e").expect("id") };
        let filter = |until| EventFilter { until, ..EventFilter::default() };
        assert_eq!(upper_bound(&filter(None), None), (Timestamp::MAX.to_chrono(), ""));
        assert_eq!(upper_bound(&filter(Some(at(40))), Some(&position)), (at(40).to_chrono(), ""));
        assert_eq!(upper_bound(&filter(Some(at(50))), Some(&position)), (at(50).to_chrono(), ""));
        assert_eq!(upper_bound(&filter(Some(at(60))), Some(&position)), (at(50).to_chrono(), "e"));
    }
}
