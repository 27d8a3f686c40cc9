//! What goes to a client. Invariant: one JSON text for SSE and WebSocket; of an event it is the logged record itself, with the
//! kind and the id of the frame and the lane it came by in front.

use std::borrow::Cow;

use bytes::Bytes;

use crate::codec::envelope;
use crate::domain::event::Event;
use crate::domain::id::AccountId;
use crate::domain::lane::Lane;
use crate::kafka::{Partition, Polled};

/// Which events a client wants; an absent field takes all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamFilter {
    /// Only of this topic and its bulk lane.
    pub topic: Option<String>,
    /// Only of this name.
    pub event_name: Option<String>,
    /// Only of this user.
    pub user_id: Option<String>,
}

impl StreamFilter {
    pub(super) fn takes(&self, event: &Event<'_>) -> bool {
        self.event_name.as_deref().is_none_or(|name| name == event.event_name)
            && self.user_id.as_deref().is_none_or(|user| user == event.user_id)
    }
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It lived as long as a stream may.
    MaxAge,
    /// Its token expired.
    TokenExpired,
    /// This process is stopping.
    Shutdown,
    /// There are topics now that it does not follow.
    TopicsChanged,
    /// The client took too long to read what it had asked for.
    TooSlow,
    /// The log could not be read, or not caught up with in time.
    Log,
}

impl End {
    /// Its word in the last frame.
    pub fn word(self) -> &'static str {
        match self {
            Self::MaxAge => "max_age",
            Self::TokenExpired => "token_expired",
            Self::Shutdown => "shutdown",
            Self::TopicsChanged => "topics_changed",
            Self::TooSlow => "too_slow",
            Self::Log => "log_unavailable",
        }
    }
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An event.
    Event,
    /// A sign of life, with the place to resume from.
    Heartbeat,
    /// Events were left out.
    Gap,
    /// The last frame.
    End,
}

impl Kind {
    /// Its word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Heartbeat => "heartbeat",
            Self::Gap => "gap",
            Self::End => "end",
        }
    }
}

/// One frame, ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Resume after it with this.
    pub id: String,
    /// Its JSON.
    pub text: String,
}

impl Frame {
    pub(super) fn event(id: String, lane: Lane, record: &[u8]) -> Option<Self> {
        let members = std::str::from_utf8(record.strip_prefix(b"{")?).ok()?;
        let text = format!("{{\"type\":\"event\",\"id\":\"{id}\",\"lane\":\"{lane}\",{members}");
        Some(Self { text, kind: Kind::Event, id })
    }

    pub(super) fn heartbeat(id: String) -> Self {
        Self { text: format!("{{\"type\":\"heartbeat\",\"id\":\"{id}\"}}"), kind: Kind::Heartbeat, id }
    }

    /// `after` resumes before the gap; `dropped` is not known when the log itself has lost the events.
    pub(super) fn gap(id: String, after: &str, dropped: Option<u64>) -> Self {
        let dropped = dropped.map_or(Cow::Borrowed("null"), |dropped| dropped.to_string().into());
        let text = format!("{{\"type\":\"gap\",\"id\":\"{id}\",\"after\":\"{after}\",\"dropped\":{dropped}}}");
        Self { text, kind: Kind::Gap, id }
    }

    pub(super) fn end(id: String, end: End) -> Self {
        let reason = end.word();
        Self { text: format!("{{\"type\":\"end\",\"id\":\"{id}\",\"reason\":\"{reason}\"}}"), kind: Kind::End, id }
    }
}

/// An event on its way to those who watch its account.
#[derive(Debug, Clone)]
pub(super) struct Passing {
    pub(super) partition: Partition,
    pub(super) offset: i64,
    pub(super) record: Bytes,
}

/// Whose record this is, by its key; nothing of the record itself has been looked at.
pub(super) fn account_of<'k>(topic: &str, key: Option<&'k [u8]>) -> Option<&'k str> {
    let key = std::str::from_utf8(key?).ok()?;
    match Lane::of_topic(topic) {
        Lane::Standard => Some(key),
        Lane::Bulk => key.rsplit_once('#').map(|(account, _)| account),
    }
}

/// The event of a record, when it is one and belongs to the account its key says. Whoever may write to the topic could put one
/// account's event under another's key.
pub(super) fn read<'r>(record: &'r Polled, account: &AccountId) -> Option<Event<'r>> {
    let version = record.headers.iter().find(|(name, _)| name == "v").and_then(|(_, value)| value.as_deref());
    let event = envelope::decode(record.value.as_deref(), version).ok()?;
    (event.account_id == *account).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_tells_the_account_in_either_lane() {
        assert_eq!(account_of("weir.events", Some(b"a#1")), Some("a#1"));
        assert_eq!(account_of("weir.events.bulk", Some(b"a#1#3")), Some("a#1"));
        assert_eq!(account_of("weir.events.bulk", Some(b"a")), None);
        assert_eq!(account_of("weir.events", Some(b"\xff")), None);
        assert_eq!(account_of("weir.events", None), None);
    }

    #[test]
    fn frames_are_json_with_their_kind_and_id() {
        let frames = [
            Frame::event("i".into(), Lane::Bulk, br#"{"event_id":"e"}"#).expect("frame"),
            Frame::heartbeat("i".into()),
            Frame::gap("i".into(), "h", Some(3)),
            Frame::gap("i".into(), "h", None),
            Frame::end("i".into(), End::TokenExpired),
        ];
        for frame in &frames {
            let read: serde_json::Value = serde_json::from_str(&frame.text).expect("JSON");
            assert_eq!((read["type"].as_str(), read["id"].as_str()), (Some(frame.kind.word()), Some("i")));
        }
        assert!(frames[0].text.ends_with(r#","lane":"bulk","event_id":"e"}"#));
        assert!(Frame::event("i".into(), Lane::Standard, b"[]").is_none());
    }
}
