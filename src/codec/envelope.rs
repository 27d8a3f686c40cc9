//! An event as the log holds it: one canonical JSON object, so that any consumer can read it. Invariant: `decode(encode(event))`
//! is the event; `decode` takes nothing but what `encode` writes, and what it takes Postgres can hold.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::domain::event::{Channel, Event, MAX_TAGS, MAX_TEXT_CHARS};
use crate::domain::id::{AccountId, EventId};
use crate::domain::time::Timestamp;

use super::json;

/// Version of the form, in header `v`.
pub const ENVELOPE_VERSION: &str = "1";

/// Most bytes of metadata in a record, whatever the door is configured to take.
const MAX_METADATA_BYTES: usize = 900_000;

/// Why a record is not an event.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// A tombstone, or an empty value.
    #[error("the record has no value")]
    Empty,
    /// Header `v` is missing or names a version we do not know.
    #[error("the envelope version is missing or unknown")]
    Version,
    /// The value is not JSON, or JSON that Postgres would refuse.
    #[error("the value is not clean JSON: {0} at {1:?}")]
    Malformed(Cow<'static, str>, Cow<'static, str>),
    /// The value has not exactly the canonical members.
    #[error("the value has not exactly the canonical members")]
    Members(#[source] serde_json::Error),
    /// A member breaks its rule.
    #[error("member {0} breaks its rule")]
    Member(&'static str),
}

/// Writes the canonical form.
pub fn encode(event: &Event<'_>) -> Vec<u8> {
    let texts = event.event_name.len() + event.user_id.len() + event.metadata.as_ref().map_or(0, |text| text.len());
    let mut out = Writer(Vec::with_capacity(384 + texts));
    out.text("{\"event_id\":", event.event_id.as_str());
    out.text(",\"account_id\":", event.account_id.as_str());
    out.text(",\"event_name\":", &event.event_name);
    out.text(",\"user_id\":", &event.user_id);
    out.text(",\"channel\":", event.channel.as_str());
    out.optional(",\"source\":", event.source.as_deref());
    out.optional(",\"campaign_id\":", event.campaign_id.as_deref());
    out.text(",\"timestamp\":", &event.timestamp.to_string());
    out.raw(",\"tags\":[");
    for (position, tag) in event.tags.iter().enumerate() {
        out.text(if position == 0 { "" } else { "," }, tag);
    }
    out.raw("],\"value\":");
    out.raw(event.value.as_deref().unwrap_or("null"));
    out.raw(",\"schema_version\":");
    out.raw(&event.schema_version.to_string());
    out.raw(",\"metadata\":");
    out.raw(event.metadata.as_deref().unwrap_or("null"));
    out.text(",\"received_at\":", &event.received_at.to_string());
    out.raw("}");
    out.0
}

struct Writer(Vec<u8>);

impl Writer {
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn optional(&mut self, before: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(before, text),
            None => {
                self.raw(before);
                self.raw("null");
            }
        }
    }

    /// A JSON string. Most need no escape and are copied whole.
    fn text(&mut self, before: &str, text: &str) {
        self.raw(before);
        self.0.push(b'"');
        if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            for character in text.chars() {
                self.escaped(character);
            }
        } else {
            self.raw(text);
        }
        self.0.push(b'"');
    }

    fn escaped(&mut self, character: char) {
        match character {
            '"' => self.raw("\\\""),
            '\\' => self.raw("\\\\"),
            '\n' => self.raw("\\n"),
            '\r' => self.raw("\\r"),
            '\t' => self.raw("\\t"),
            control if control < ' ' => self.raw(&format!("\\u{:04x}", u32::from(control))),
            other => self.raw(other.encode_utf8(&mut [0; 4])),
        }
    }
}

/// A text borrowed from the record where it holds no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    event_id: Text<'a>,
    account_id: Text<'a>,
    event_name: Text<'a>,
    user_id: Text<'a>,
    channel: Text<'a>,
    #[serde(deserialize_with = "present")]
    source: Option<Text<'a>>,
    #[serde(deserialize_with = "present")]
    campaign_id: Option<Text<'a>>,
    timestamp: Text<'a>,
    tags: Vec<Text<'a>>,
    #[serde(deserialize_with = "present")]
    value: Option<&'a RawValue>,
    schema_version: i32,
    #[serde(deserialize_with = "present")]
    metadata: Option<&'a RawValue>,
    received_at: Text<'a>,
}

/// serde takes a missing `Option` for `null`, unless the field has a function of its own.
fn present<'a, D: Deserializer<'a>, T: Deserialize<'a>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// Reads a record's value, given its header `v`.
///
/// Linted like at the door although only our own API should write here: a record put into the topic by hand, with nesting
/// that overflows Postgres's stack, would otherwise look like a database in trouble and be tried for ever.
///
/// # Errors
/// [`EnvelopeError`]; the record can only be set aside.
pub fn decode<'a>(value: Option<&'a [u8]>, version: Option<&[u8]>) -> Result<Event<'a>, EnvelopeError> {
    let value = value.filter(|value| !value.is_empty()).ok_or(EnvelopeError::Empty)?;
    if version != Some(ENVELOPE_VERSION.as_bytes()) {
        return Err(EnvelopeError::Version);
    }
    let text =
        json::clean(value).map_err(|malformed| EnvelopeError::Malformed(malformed.0.reason, malformed.0.pointer))?;
    let wire: Wire<'a> = serde_json::from_str(text).map_err(EnvelopeError::Members)?;
    wire.event()
}

impl<'a> Wire<'a> {
    fn event(self) -> Result<Event<'a>, EnvelopeError> {
        if self.tags.len() > MAX_TAGS {
            return Err(EnvelopeError::Member("tags"));
        }
        let tags = self.tags.into_iter().map(|tag| short(tag, "tags")).collect::<Result<_, _>>()?;
        Ok(Event {
            event_id: EventId::new(&self.event_id.0).map_err(|_| EnvelopeError::Member("event_id"))?,
            account_id: AccountId::new(&self.account_id.0).map_err(|_| EnvelopeError::Member("account_id"))?,
            event_name: named(self.event_name, "event_name")?,
            user_id: named(self.user_id, "user_id")?,
            channel: Channel::parse(&self.channel.0).ok_or(EnvelopeError::Member("channel"))?,
            source: self.source.map(|text| short(text, "source")).transpose()?,
            campaign_id: self.campaign_id.map(|text| short(text, "campaign_id")).transpose()?,
            timestamp: time(&self.timestamp, "timestamp")?,
            tags,
            value: self.value.map(|raw| literal(json::as_number(raw), "value")).transpose()?,
            schema_version: self.schema_version,
            metadata: self.metadata.map(|raw| literal(json::as_object(raw), "metadata")).transpose()?,
            received_at: time(&self.received_at, "received_at")?,
        })
    }
}

fn short<'a>(text: Text<'a>, member: &'static str) -> Result<Cow<'a, str>, EnvelopeError> {
    if text.0.chars().count() <= MAX_TEXT_CHARS { Ok(text.0) } else { Err(EnvelopeError::Member(member)) }
}

fn named<'a>(text: Text<'a>, member: &'static str) -> Result<Cow<'a, str>, EnvelopeError> {
    if text.0.trim().is_empty() { Err(EnvelopeError::Member(member)) } else { short(text, member) }
}

fn literal<'a>(text: Option<&'a str>, member: &'static str) -> Result<Cow<'a, str>, EnvelopeError> {
    text.filter(|text| text.len() <= MAX_METADATA_BYTES).map(Cow::Borrowed).ok_or(EnvelopeError::Member(member))
}

fn time(text: &Text<'_>, member: &'static str) -> Result<Timestamp, EnvelopeError> {
    Timestamp::parse_rfc3339(&text.0).map_err(|_| EnvelopeError::Member(member))
}

#[cfg(test)]
mod tests;
