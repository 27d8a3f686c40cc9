//! An event as readers see it. Invariant: `metadata` and `value` are the tenant's own literals, never re-written.

use std::borrow::Cow;

use poem_openapi::Object;
use serde::Serialize;

use super::answer::ChannelBody;
use super::fresh::AnsweredBy;
use super::text::{FreeObject, Number, Rfc3339};
use crate::query::{EventsPage, StoredEvent};

/// One stored event.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Event", skip_serializing_if_is_none)]
pub(super) struct EventBody {
    /// Unique within the account
    event_id: String,
    /// The account it belongs to
    account_id: String,
    /// What happened
    event_name: String,
    /// Who did it
    user_id: String,
    /// How it reached the tenant's system
    channel: ChannelBody,
    /// Where the tenant's system got it from
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The campaign it belongs to
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_id: Option<String>,
    /// When it happened
    timestamp: Rfc3339,
    /// Words to find it by
    tags: Vec<String>,
    /// What windows sum and average
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Number>,
    /// Version of the event's schema
    schema_version: i32,
    /// Whatever the tenant sent, byte for byte
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<FreeObject>,
    /// When the door had read it
    received_at: Rfc3339,
    /// When its row was made
    stored_at: Rfc3339,
}

impl From<StoredEvent> for EventBody {
    fn from(StoredEvent { event, stored_at }: StoredEvent) -> Self {
        Self {
            event_id: event.event_id.as_str().to_owned(),
            account_id: event.account_id.as_str().to_owned(),
            event_name: event.event_name.into_owned(),
            user_id: event.user_id.into_owned(),
            channel: event.channel.into(),
            source: event.source.map(Cow::into_owned),
            campaign_id: event.campaign_id.map(Cow::into_owned),
            timestamp: Rfc3339(event.timestamp),
            tags: event.tags.into_iter().map(Cow::into_owned).collect(),
            value: event.value.and_then(Number::new),
            schema_version: event.schema_version,
            metadata: event.metadata.and_then(FreeObject::new),
            received_at: Rfc3339(event.received_at),
            stored_at: Rfc3339(stored_at),
        }
    }
}

/// A page of events.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "EventPage")]
pub(super) struct PageBody {
    /// Newest first
    data: Vec<EventBody>,
    /// Where the next page starts; null at the end
    #[oai(nullable)]
    next_cursor: Option<String>,
    /// Whatever was received before this time is listed; null until a first event was stored
    #[oai(nullable)]
    data_as_of: Option<Rfc3339>,
    /// Seconds between then and the answer; null with `data_as_of`
    #[oai(nullable, validator(minimum(value = "0")))]
    lag_seconds: Option<f64>,
    /// Which database answered
    answered_by: AnsweredBy,
}

impl From<EventsPage> for PageBody {
    fn from(page: EventsPage) -> Self {
        let freshness = page.freshness;
        Self {
            data: page.events.into_iter().map(EventBody::from).collect(),
            next_cursor: page.next_cursor,
            data_as_of: freshness.data_as_of.map(Rfc3339),
            lag_seconds: freshness.lag_seconds,
            answered_by: freshness.into(),
        }
    }
}
