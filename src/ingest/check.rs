//! The rules of an event. Invariant: all broken rules of an event are told at once, no offending value is repeated, and what
//! passes is an [`Event`] that the log and Postgres take.

use std::borrow::Cow;
use std::cell::RefCell;

use serde_json::value::RawValue;

use crate::codec::json::{self, Draft};
use crate::config::IngestConfig;
use crate::domain::event::{Channel, Event, MAX_TAGS, MAX_TEXT_CHARS};
use crate::domain::id::{AccountId, EventId};
use crate::domain::outcome::{Fault, Rejection};
use crate::domain::time::{SECOND, TimeError, Timestamp};

/// What the configuration says about events.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) max_event_bytes: usize,
    pub(super) max_batch_events: usize,
    pub(super) max_lines: usize,
    max_metadata_bytes: usize,
    max_metadata_depth: usize,
    required: Vec<String>,
    schema_versions: Vec<i32>,
    future_micros: i64,
    past_micros: i64,
}

impl Rules {
    pub(super) fn new(config: &IngestConfig, retention_days: u32) -> Self {
        Self {
            max_event_bytes: config.max_event_bytes,
            max_batch_events: config.max_batch_events,
            max_lines: config.max_ndjson_events,
            max_metadata_bytes: config.max_metadata_bytes,
            max_metadata_depth: config.max_metadata_depth,
            required: config.required_fields.clone(),
            schema_versions: config.schema_versions.clone(),
            future_micros: config.future_seconds.saturating_mul(SECOND),
            past_micros: i64::from(retention_days).saturating_mul(86_400 * SECOND),
        }
    }
}

/// An event that broke rules.
#[derive(Debug)]
pub(super) struct Broken {
    /// The tenant's id, where it is a good one.
    pub(super) event_id: Option<EventId>,
    pub(super) rejection: Rejection,
    pub(super) faults: Vec<Fault>,
}

/// Whose event it is and when it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'c> {
    pub(super) account_id: &'c AccountId,
    pub(super) received_at: Timestamp,
    /// What the sender's clock is behind ours.
    pub(super) skew_micros: i64,
}

/// Checks a draft against all rules.
pub(super) fn check<'a>(draft: &Draft<'a>, rules: &Rules, arrival: Arrival<'_>) -> Result<Event<'a>, Broken> {
    let checker = Checker { rules, arrival, faults: RefCell::new(Vec::new()) };
    checker.required(draft);
    let mismatch = checker.account(draft.account_id);
    let given = draft.event_id.map(|raw| checker.event_id(raw));
    let event_name = checker.event_name(draft);
    let user_id = checker.named("/user_id", draft.user_id);
    let channel = checker.channel(draft.channel);
    let source = checker.short("/source", draft.source);
    let campaign_id = checker.short("/campaign_id", draft.campaign_id);
    let timestamp = checker.timestamp(draft.timestamp);
    let tags = checker.tags(draft.tags);
    let value = checker.value(draft.value);
    let schema_version = checker.schema_version(draft.schema_version);
    let metadata = checker.metadata(draft.metadata);
    let faults = checker.faults.into_inner();
    let (Some(event_name), Some(user_id), true) = (event_name, user_id, faults.is_empty()) else {
        let rejection = if mismatch { Rejection::AccountMismatch } else { Rejection::Invalid };
        return Err(Broken { event_id: given.flatten(), rejection, faults });
    };
    Ok(Event {
        event_id: given.flatten().unwrap_or_else(|| EventId::generated(uuid::Uuid::now_v7())),
        account_id: arrival.account_id.clone(),
        event_name,
        user_id,
        channel,
        source,
        campaign_id,
        timestamp,
        tags,
        value,
        schema_version,
        metadata,
        received_at: arrival.received_at,
    })
}

struct Checker<'c> {
    rules: &'c Rules,
    arrival: Arrival<'c>,
    faults: RefCell<Vec<Fault>>,
}

impl Checker<'_> {
    fn fault(&self, pointer: &'static str, rule: &'static str, reason: impl Into<Cow<'static, str>>) {
        self.faults.borrow_mut().push(Fault { pointer: pointer.into(), rule, reason: reason.into() });
    }

    fn required(&self, draft: &Draft<'_>) {
        for field in &self.rules.required {
            let (pointer, given) = match field.as_str() {
                "event_id" => ("/event_id", draft.event_id),
                "channel" => ("/channel", draft.channel),
                "source" => ("/source", draft.source),
                "campaign_id" => ("/campaign_id", draft.campaign_id),
                "timestamp" => ("/timestamp", draft.timestamp),
                "tags" => ("/tags", draft.tags),
                "value" => ("/value", draft.value),
                "schema_version" => ("/schema_version", draft.schema_version),
                _ => ("/metadata", draft.metadata),
            };
            if given.is_none() {
                self.fault(pointer, "required", "is required");
            }
        }
    }

    /// Whether the event names another account than the token.
    fn account(&self, raw: Option<&RawValue>) -> bool {
        let same =
            raw.is_none_or(|raw| json::as_text(raw).is_some_and(|account| account == self.arrival.account_id.as_str()));
        if !same {
            self.fault("/account_id", "account", "must be absent or the account of the token");
        }
        !same
    }

    fn event_id(&self, raw: &RawValue) -> Option<EventId> {
        let text = self.text("/event_id", raw)?;
        EventId::new(&text).map_err(|error| self.fault("/event_id", "event_id", error.to_string())).ok()
    }

    fn event_name<'a>(&self, draft: &Draft<'a>) -> Option<Cow<'a, str>> {
        match (draft.event_name, draft.kind) {
            (None, Some(kind)) => self.named("/type", Some(kind)),
            (Some(name), Some(kind)) => {
                let (name, kind) = (self.named("/event_name", Some(name)), self.named("/type", Some(kind)));
                if name.is_some() && kind.is_some() && name != kind {
                    self.fault("/type", "alias", "must be absent or the same as event_name");
                }
                name
            }
            (name, None) => self.named("/event_name", name),
        }
    }

    fn text<'a>(&self, pointer: &'static str, raw: &'a RawValue) -> Option<Cow<'a, str>> {
        let text = json::as_text(raw);
        if text.is_none() {
            self.fault(pointer, "type", "must be a string");
        }
        text
    }

    fn named<'a>(&self, pointer: &'static str, raw: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
        let Some(raw) = raw else {
            self.fault(pointer, "required", "is required");
            return None;
        };
        let text = self.short(pointer, Some(raw))?;
        if text.chars().all(char::is_whitespace) {
            self.fault(pointer, "not_blank", "must not be blank");
            return None;
        }
        Some(text)
    }

    fn short<'a>(&self, pointer: &'static str, raw: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
        let text = self.text(pointer, raw?)?;
        if is_long(&text) {
            self.fault(pointer, "max_length", "must be at most 255 characters");
            return None;
        }
        Some(text)
    }

    fn channel(&self, raw: Option<&RawValue>) -> Channel {
        let Some(raw) = raw else { return Channel::Api };
        let channel = json::as_text(raw).and_then(|text| Channel::parse(&text));
        channel.unwrap_or_else(|| {
            self.fault("/channel", "enum", "must be one of web, mobile, api, email, push");
            Channel::Api
        })
    }

    fn timestamp(&self, raw: Option<&RawValue>) -> Timestamp {
        let now = self.arrival.received_at;
        let Some(raw) = raw else { return now };
        let parsed = match json::as_text(raw) {
            Some(text) => Timestamp::parse_rfc3339(&text),
            None => unix_seconds(raw.get()),
        };
        match parsed.map(|time| time.saturating_add_micros(self.arrival.skew_micros)) {
            Err(TimeError::Malformed) => {
                self.fault("/timestamp", "timestamp", "must be whole Unix seconds or an RFC 3339 time");
            }
            Err(TimeError::OutOfRange) => {
                let reason = "must lie between the years 1970 and 9998; numbers are seconds, not milliseconds";
                self.fault("/timestamp", "timestamp", reason);
            }
            Ok(time) if time.micros_since(now) > self.rules.future_micros => {
                let seconds = self.rules.future_micros / SECOND;
                self.fault("/timestamp", "future", format!("must not lie more than {seconds} seconds ahead"));
            }
            Ok(time) if now.micros_since(time) > self.rules.past_micros => {
                let days = self.rules.past_micros / (86_400 * SECOND);
                self.fault(
                    "/timestamp",
                    "retention",
                    format!("must not be older than the {days} days events are kept"),
                );
            }
            Ok(time) => return time,
        }
        now
    }

    fn tags<'a>(&self, raw: Option<&'a RawValue>) -> Vec<Cow<'a, str>> {
        let Some(raw) = raw else { return Vec::new() };
        match json::as_texts(raw) {
            Some(texts) if texts.len() <= MAX_TAGS && !texts.iter().any(|text| is_long(text)) => texts,
            _ => self.broken_tags(raw),
        }
    }

    /// Tells what is wrong with tags.
    fn broken_tags(&self, raw: &RawValue) -> Vec<Cow<'static, str>> {
        let Some(tags) = json::as_array(raw) else {
            self.fault("/tags", "type", "must be an array of strings");
            return Vec::new();
        };
        if tags.len() > MAX_TAGS {
            self.fault("/tags", "max_items", "must have at most 32 items");
            return Vec::new();
        }
        for (position, tag) in tags.into_iter().enumerate() {
            let (rule, reason) = match json::as_text(tag) {
                Some(text) if !is_long(&text) => continue,
                Some(_) => ("max_length", "must be at most 255 characters"),
                None => ("type", "must be a string"),
            };
            let pointer = Cow::Owned(format!("/tags/{position}"));
            self.faults.borrow_mut().push(Fault { pointer, rule, reason: reason.into() });
        }
        Vec::new()
    }

    fn value<'a>(&self, raw: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
        let number = json::as_number(raw?);
        if number.is_none() {
            self.fault("/value", "type", "must be a number");
        }
        number.map(Cow::Borrowed)
    }

    fn schema_version(&self, raw: Option<&RawValue>) -> i32 {
        let version = raw
            .map_or(Ok(1), |raw| raw.get().parse())
            .ok()
            .filter(|version| self.rules.schema_versions.contains(version));
        version.unwrap_or_else(|| {
            let known: Vec<String> = self.rules.schema_versions.iter().map(ToString::to_string).collect();
            self.fault("/schema_version", "enum", format!("must be one of {}", known.join(", ")));
            1
        })
    }

    fn metadata<'a>(&self, raw: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
        let Some(object) = json::as_object(raw?) else {
            self.fault("/metadata", "type", "must be an object");
            return None;
        };
        if object.len() > self.rules.max_metadata_bytes {
            self.fault("/metadata", "max_bytes", format!("must be at most {} bytes", self.rules.max_metadata_bytes));
        } else if json::nests_deeper(object, self.rules.max_metadata_depth) {
            let reason = format!("must not nest deeper than {} levels", self.rules.max_metadata_depth);
            self.fault("/metadata", "max_depth", reason);
        }
        Some(Cow::Borrowed(object))
    }
}

/// A text as long in bytes as it may be in characters needs no counting.
fn is_long(text: &str) -> bool {
    text.len() > MAX_TEXT_CHARS && text.chars().count() > MAX_TEXT_CHARS
}

/// Whole seconds only: a fraction is more likely a unit mixed up than meant.
fn unix_seconds(literal: &str) -> Result<Timestamp, TimeError> {
    if literal.is_empty() || !literal.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TimeError::Malformed);
    }
    literal.parse().map_err(|_| TimeError::OutOfRange).and_then(Timestamp::from_unix_seconds)
}

#[cfg(test)]
mod tests;
