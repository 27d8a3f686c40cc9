//! Metrics of one event name: totals, users and values of a window, and of its groups. Invariant: totals and sums are exact
//! whatever the size of the account; users are exact while the window holds at most `WEIR_EXACT_EVENTS` events, and
//! estimated from sketches above.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, SecondsFormat};
use chrono_tz::Tz;

use super::QueryError;
use super::freshness::Freshness;
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;
use crate::domain::window::{BUCKET_SECONDS, Window, WindowError, bucket_of};
use crate::store::{ApiStore, Approximation, Database, GroupBy, Measured, MetricsFilter, MetricsRows, Seen};

/// Most groups of a page.
pub const MAX_GROUPS: u16 = 250;

/// First byte of every cursor, so that another form can follow.
const CURSOR_FORM: u8 = 2;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsQuery {
    /// The events' name.
    pub event_name: String,
    /// When they happened.
    pub window: Window,
    /// The groups, if any.
    pub group_by: Option<GroupBy>,
    /// The zone of hours and days.
    pub time_zone: Zone,
    /// Where the page of groups starts.
    pub cursor: Option<String>,
    /// Most groups of the page.
    pub limit: u16,
    /// Who must answer.
    pub database: Database,
}

/// A time zone of the IANA database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

impl Default for Zone {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}

impl FromStr for Zone {
    type Err = QueryError;

    fn from_str(name: &str) -> Result<Self, QueryError> {
        name.parse().map(Self).map_err(|_| QueryError::TimeZone)
    }
}

impl Zone {
    /// Its IANA name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

/// Events, users and values of a window or of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// How many events, how many with a value, and what those add up to.
    pub measured: Measured,
    /// How many users; `None` when they cannot be told.
    pub unique_users: Option<u64>,
}

/// One group of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsGroup {
    /// Its name: a channel, an event name or a source as it is, an hour as its start in the zone, a day as its date there.
    pub group: String,
    /// What it holds.
    pub figures: Figures,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// All of the window.
    pub total: Figures,
    /// A page of groups, by ascending key.
    pub groups: Vec<MetricsGroup>,
    /// Ask with it for the next page; `None` at the end.
    pub next_cursor: Option<String>,
    /// How far users may be from the truth; `None` when they were counted.
    pub approximation: Option<Approximation>,
    /// How far it reaches.
    pub freshness: Freshness,
}

/// Without `to` the window ends with the current bucket, so what has just happened is inside; without `from` it is as long as a
/// window may be, which is longer than events are kept.
pub(super) fn window(
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    now: Timestamp,
    max_seconds: i64,
) -> Result<Window, WindowError> {
    let second = |seconds: i64| Timestamp::from_unix_seconds(seconds.max(0)).unwrap_or(Timestamp::MAX);
    let end = to.unwrap_or_else(|| second(bucket_of(now) + BUCKET_SECONDS - 1));
    let start = from.unwrap_or_else(|| second(end.unix_seconds() + 1 - max_seconds));
    Window::new(start, end, max_seconds)
}

pub(super) async fn measure(
    store: &ApiStore,
    account: &AccountId,
    asked: &MetricsQuery,
    exact: u64,
    now: Timestamp,
) -> Result<Metrics, QueryError> {
    let limit = asked.limit.clamp(1, MAX_GROUPS);
    let after = asked.cursor.as_deref().map(|text| read_cursor(text).ok_or(QueryError::Cursor)).transpose()?;
    let filter = MetricsFilter {
        event_name: asked.event_name.clone(),
        window: asked.window,
        group_by: asked.group_by,
        time_zone: asked.time_zone.name(),
        after,
        // One more than asked tells whether there is a next page.
        limit: limit + 1,
    };
    let seen = store.metrics(account, &filter, exact, asked.database).await?;
    let counted = seen.value.users.is_some() && seen.value.approximation.is_none();
    if !counted && asked.group_by == Some(GroupBy::Source) {
        return Err(QueryError::TooManyEvents(exact));
    }
    Ok(answer(seen, asked, usize::from(limit), now))
}

fn answer(seen: Seen<MetricsRows>, asked: &MetricsQuery, limit: usize, now: Timestamp) -> Metrics {
    let freshness = Freshness::of(&seen, now);
    let rows = seen.value;
    let counted = rows.users.is_some();
    let total = Figures { measured: rows.total, unique_users: rows.users };
    let more = rows.groups.len() > limit;
    let mut groups = Vec::with_capacity(limit.min(rows.groups.len()));
    let mut last = None;
    let mut users = rows.group_users.into_iter().peekable();
    for (key, measured) in rows.groups.into_iter().take(limit) {
        // Both lists ascend by the same keys; a group that only one of them has would be a disagreement of the two tables.
        while users.next_if(|(other, _)| *other < key).is_some() {}
        let own = users.next_if(|(other, _)| *other == key).map_or(0, |(_, users)| users);
        let figures = Figures { measured, unique_users: counted.then_some(own) };
        groups.push(MetricsGroup { group: name(&key, asked.group_by, asked.time_zone), figures });
        last = Some(key);
    }
    let next_cursor = last.filter(|_| more).map(|key| write_cursor(&key));
    Metrics { total, groups, next_cursor, approximation: rows.approximation, freshness }
}

/// The name of a group in answers. An hour carries its offset, so that the hour that comes twice in autumn has two names.
fn name(key: &str, group_by: Option<GroupBy>, zone: Zone) -> String {
    let local = || DateTime::parse_from_rfc3339(key).ok().map(|start| start.with_timezone(&zone.0));
    match group_by {
        Some(GroupBy::Hour) => local().map(|start| start.to_rfc3339_opts(SecondsFormat::Secs, true)),
        Some(GroupBy::Day) => local().map(|start| start.format("%Y-%m-%d").to_string()),
        _ => None,
    }
    .unwrap_or_else(|| key.to_owned())
}

fn write_cursor(key: &str) -> String {
    let mut bytes = vec![CURSOR_FORM];
    bytes.extend(key.bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_cursor(text: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let key = std::str::from_utf8(bytes.strip_prefix(&[CURSOR_FORM])?).ok()?;
    // Postgres has no text with a zero byte.
    (!key.contains('\0')).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_days_are_named_in_their_zone() {
        let zone: Zone = "Europe/Berlin".parse().expect("zone");
        let hour = |key| name(key, Some(GroupBy::Hour), zone);
        assert_eq!(hour("2026-07-01T22:00:00Z"), "2026-07-02T00:00:00+02:00");
        assert_eq!(hour("2026-10-25T00:00:00Z"), "2026-10-25T02:00:00+02:00");
        assert_eq!(hour("2026-10-25T01:00:00Z"), "2026-10-25T02:00:00+01:00");
        assert_eq!(name("2026-07-01T22:00:00Z", Some(GroupBy::Day), zone), "2026-07-02");
        assert_eq!(name("web", Some(GroupBy::Channel), zone), "web");
        assert_eq!(name("2026-07-01T22:00:00Z", Some(GroupBy::Hour), Zone::default()), "2026-07-01T22:00:00Z");
        assert!("Mars/Olympus".parse::<Zone>().is_err());
    }

    #[test]
    fn cursors_round_trip_and_others_are_refused() {
        assert_eq!(read_cursor(&write_cursor("push")).as_deref(), Some("push"));
        assert_eq!(read_cursor(&write_cursor("")).as_deref(), Some(""));
        for bad in ["", "!", "AQ", &write_cursor("a\0b")] {
            assert_eq!(read_cursor(bad), None, "{bad}");
        }
    }
}
