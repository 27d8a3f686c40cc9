//! Pages of events, newest first. Invariant: a cursor names a place in time and nothing else, so one account's cursor in
//! another's hands shows only what that other account owns; events that come in later never shift a page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::QueryError;
use super::freshness::Freshness;
use crate::domain::event::{Channel, MAX_TEXT_CHARS};
use crate::domain::id::{AccountId, EventId};
use crate::domain::routes::Names;
use crate::domain::time::{SECOND, Timestamp};
use crate::domain::window::WindowError;
use crate::store::{ApiStore, Database, EventFilter, Position, StoredEvent};

/// Most events of a page.
pub const MAX_PAGE: u16 = 250;

/// First byte of every cursor, so that another form can follow.
const CURSOR_FORM: u8 = 1;

/// Which events are asked for; an absent field takes all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only of this name.
    pub event_name: Option<String>,
    /// Only of this user.
    pub user_id: Option<String>,
    /// Only of this channel.
    pub channel: Option<Channel>,
    /// Only of this source.
    pub source: Option<String>,
    /// First second.
    pub from: Option<Timestamp>,
    /// Last second.
    pub to: Option<Timestamp>,
    /// Where the page starts: `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Who must answer; anyone by default.
    pub database: Database,
}

/// A page and where it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct EventsPage {
    /// Newest first.
    pub events: Vec<StoredEvent>,
    /// Ask with it for the next page; `None` at the end.
    pub next_cursor: Option<String>,
    /// How far it reaches.
    pub freshness: Freshness,
}

pub(super) async fn page(
    store: &ApiStore,
    account: &AccountId,
    asked: &EventQuery,
    limit: u16,
    now: Timestamp,
) -> Result<EventsPage, QueryError> {
    let limit = limit.clamp(1, MAX_PAGE);
    // One more than asked tells whether there is a next page.
    let seen = store.events_page(account, &filter(asked)?, limit + 1, asked.database).await?;
    let freshness = Freshness::of(&seen, now);
    let mut events = seen.value;
    let more = events.len() > usize::from(limit);
    events.truncate(usize::from(limit));
    let next_cursor =
        events.last().filter(|_| more).map(|last| write_cursor(last.event.timestamp, &last.event.event_id));
    Ok(EventsPage { events, next_cursor, freshness })
}

/// The newest events of some names; what is older is found by the listing.
pub(super) async fn latest(
    store: &ApiStore,
    account: &AccountId,
    names: &Names,
    limit: u16,
    now: Timestamp,
) -> Result<EventsPage, QueryError> {
    let seen = store.latest(account, names, limit.clamp(1, MAX_PAGE), Database::Usual).await?;
    let freshness = Freshness::of(&seen, now);
    Ok(EventsPage { events: seen.value, next_cursor: None, freshness })
}

/// Whole seconds, both ends inclusive, as everywhere.
fn filter(asked: &EventQuery) -> Result<EventFilter, QueryError> {
    let texts = [("event_name", &asked.event_name), ("user_id", &asked.user_id), ("source", &asked.source)];
    for (name, text) in texts {
        if text.as_ref().is_some_and(|text| !matchable(text)) {
            return Err(QueryError::Filter(name));
        }
    }
    let floor = |time: Timestamp| time.saturating_add_micros(-(time.micros() % SECOND));
    let (from, to) = (asked.from.map(floor), asked.to.map(floor));
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(WindowError::Reversed.into());
    }
    Ok(EventFilter {
        event_name: asked.event_name.clone(),
        user_id: asked.user_id.clone(),
        channel: asked.channel,
        source: asked.source.clone(),
        from,
        until: to.map(|to| to.saturating_add_micros(SECOND)),
        after: asked.cursor.as_deref().map(|text| read_cursor(text).ok_or(QueryError::Cursor)).transpose()?,
    })
}

/// Whether an event can have this text in a field.
fn matchable(text: &str) -> bool {
    let characters = text.chars().take(MAX_TEXT_CHARS + 1).count();
    (1..=MAX_TEXT_CHARS).contains(&characters) && !text.contains('\0')
}

fn write_cursor(occurred_at: Timestamp, event_id: &EventId) -> String {
    let mut bytes = vec![CURSOR_FORM];
    bytes.extend(occurred_at.micros().to_be_bytes());
    bytes.extend(event_id.as_str().bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_cursor(text: &str) -> Option<Position> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (micros, id) = bytes.strip_prefix(&[CURSOR_FORM])?.split_first_chunk::<8>()?;
    Some(Position {
        occurred_at: Timestamp::from_micros(i64::from_be_bytes(*micros)).ok()?,
        event_id: EventId::new(std::str::from_utf8(id).ok()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).expect("time")
    }

    #[test]
    fn cursors_round_trip() {
        let id = EventId::new("a'b\\c").expect("id");
        let position = read_cursor(&write_cursor(at(1_700_000_000_123_456), &id)).expect("ours");
        assert_eq!(position, Position { occurred_at: at(1_700_000_000_123_456), event_id: id });
    }

    #[test]
    fn what_is_not_a_cursor_is_refused() {
        let negative = URL_SAFE_NO_PAD.encode([1, 255, 0, 0, 0, 0, 0, 0, 0, b'x']);
        let no_id = URL_SAFE_NO_PAD.encode([1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let other_form = URL_SAFE_NO_PAD.encode([2, 0, 0, 0, 0, 0, 0, 0, 0, b'x']);
        for bad in ["", "!", "AQ", "e30", &negative, &no_id, &other_form, &"A".repeat(10_000)] {
            assert_eq!(read_cursor(bad), None, "{bad:.20}");
        }
    }

    #[test]
    fn a_filter_that_nothing_can_match_is_refused() {
        let named = |name: &str| EventQuery { event_name: Some(name.into()), ..EventQuery::default() };
        assert!(filter(&named(&"é".repeat(255))).is_ok());
        for bad in ["", "a\0b", &"é".repeat(256)] {
            assert!(matches!(filter(&named(bad)), Err(QueryError::Filter("event_name"))), "{bad:?}");
        }
    }

    #[test]
    fn ranges_are_whole_seconds_with_both_ends() {
        let asked = EventQuery { from: Some(at(1_500_000)), to: Some(at(1_999_999)), ..EventQuery::default() };
        let filter = filter(&asked).expect("range");
        assert_eq!((filter.from, filter.until), (Some(at(1_000_000)), Some(at(2_000_000))));
        let reversed = EventQuery { from: Some(at(2_000_000)), to: Some(at(1_999_999)), ..EventQuery::default() };
        assert!(matches!(super::filter(&reversed), Err(QueryError::Window(WindowError::Reversed))));
    }
}
