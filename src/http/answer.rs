//! What the door says when it says yes: the bodies of answers, documented and written from one type each. Invariant: a field
//! that is absent is left out or documented nullable, so that the document and the bytes never differ.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use bytes::Bytes;
use poem::{Body, IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::{ToJSON, Type};
use poem_openapi::{ApiResponse, Enum, Object};
use serde::{Deserialize, Serialize};

use crate::domain::event::Channel;
use crate::domain::lane::Lane;
use crate::domain::outcome::Fault;
use crate::limit::Pace;

/// A JSON body written straight from its type; poem-openapi's own goes through a tree of values first.
pub(super) struct Reply<T>(pub(super) T);

impl<T: Type + Send> Payload for Reply<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Send> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        match Body::from_json(&self.0) {
            Ok(body) => Response::builder().content_type("application/json").body(body),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written");
                poem::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// A JSON body of the type `T` that was written before.
pub(super) struct Worded<T>(Bytes, PhantomData<fn() -> T>);

impl<T> Worded<T> {
    /// The text of a `T`.
    pub(super) fn new(text: Bytes) -> Self {
        Self(text, PhantomData)
    }
}

impl<T: Type + Send> Payload for Worded<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Send> IntoResponse for Worded<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type("application/json").body(self.0)
    }
}

impl<T: ToJSON> ApiResponse for Reply<T> {
    fn meta() -> MetaResponses {
        let content = vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() }];
        let found =
            MetaResponse { description: "The answer", status: Some(200), status_range: None, content, headers: vec![] };
        MetaResponses { responses: vec![found] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// Which way events take to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename = "Lane", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum LaneBody {
    /// One partition, in the order sent
    Standard,
    /// Up to four partitions, by user, out of the way of others
    Bulk,
}

impl From<Lane> for LaneBody {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Standard => Self::Standard,
            Lane::Bulk => Self::Bulk,
        }
    }
}

impl From<LaneBody> for Lane {
    fn from(lane: LaneBody) -> Self {
        match lane {
            LaneBody::Standard => Self::Standard,
            LaneBody::Bulk => Self::Bulk,
        }
    }
}

/// One broken rule.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Fault")]
pub(super) struct FaultBody {
    /// JSON pointer (RFC 6901) to the place, relative to the event; for a parameter its place and name
    pub(super) pointer: String,
    /// Stable name of the rule, e.g. `required`
    pub(super) rule: String,
    /// What to mend
    pub(super) reason: String,
}

impl From<Fault> for FaultBody {
    fn from(fault: Fault) -> Self {
        Self { pointer: fault.pointer.into_owned(), rule: fault.rule.to_owned(), reason: fault.reason.into_owned() }
    }
}

/// How an event ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "ItemStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum ItemStatus {
    /// The log has it
    Accepted,
    /// The same id stood earlier in the batch
    Duplicate,
    /// It breaks a rule; sending it again unchanged is useless
    Rejected,
    /// The account is over a policy
    Limited,
    /// Not taken, or not known; send it again with the same event_id
    Retry,
}

/// A single event that was taken.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Accepted", skip_serializing_if_is_none)]
pub(super) struct AcceptedBody {
    /// Always `accepted`
    pub(super) status: ItemStatus,
    /// Its id, made here when none came
    pub(super) event_id: String,
    /// Partition of the record
    pub(super) partition: i32,
    /// Offset of the record
    pub(super) offset: i64,
    /// Where the log keeps it, sealed for this account: `topic/partition/offset/seal/event_id`; for `min_receipt` and traces
    pub(super) receipt: String,
    /// How to go on, once little is left of a limit
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pace: Option<PaceBody>,
    /// Id of the request
    pub(super) request_id: String,
}

/// A pace that is not refused: at most so many events each so many milliseconds.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Pace")]
pub(super) struct PaceBody {
    /// Events to send at a time
    #[oai(validator(minimum(value = "1")))]
    batch_events: i64,
    /// Milliseconds from one batch to the next
    #[oai(validator(minimum(value = "1")))]
    delay_ms: i64,
}

impl From<Pace> for PaceBody {
    fn from(pace: Pace) -> Self {
        Self { batch_events: pace.batch_events, delay_ms: pace.delay_ms }
    }
}

/// How one event of a batch ended.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ItemResult", skip_serializing_if_is_none)]
pub(super) struct ItemBody {
    /// Its place in the batch, from 0
    #[oai(validator(minimum(value = "0")))]
    pub(super) index: i64,
    /// How it ended
    pub(super) status: ItemStatus,
    /// Its id, when it had or got one
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_id: Option<String>,
    /// Partition of the record, when the log has it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) partition: Option<i32>,
    /// Offset of the record, when the log has it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offset: Option<i64>,
    /// `topic/partition/offset/seal/event_id`, when the log has it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) receipt: Option<String>,
    /// Why it was not taken, in one stable word
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    /// Why it was not taken, in a sentence
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    /// What to mend
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) errors: Option<Vec<FaultBody>>,
}

impl ItemBody {
    /// Whether the same event, sent again later, may end otherwise.
    pub(super) fn is_of_the_moment(&self) -> bool {
        matches!(self.status, ItemStatus::Retry | ItemStatus::Limited)
    }
}

/// A batch of which at least one event was taken.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "BatchAccepted", skip_serializing_if_is_none)]
pub(super) struct BatchBody {
    /// `accepted` when nothing was refused, else `partial`
    pub(super) status: BatchStatus,
    /// Events the log has
    #[oai(validator(minimum(value = "0")))]
    pub(super) accepted: i64,
    /// Events whose id stood earlier in the batch
    #[oai(validator(minimum(value = "0")))]
    pub(super) duplicates: i64,
    /// Events not taken
    #[oai(validator(minimum(value = "0")))]
    pub(super) refused: i64,
    /// Every event's end, in the order of the request
    pub(super) results: Vec<ItemBody>,
    /// How to go on, once little is left of a limit
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pace: Option<PaceBody>,
    /// Id of the request
    pub(super) request_id: String,
}

/// How a batch ended as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "BatchStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum BatchStatus {
    /// Nothing was refused
    Accepted,
    /// Some events were refused
    Partial,
}

/// The process lives.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Health")]
pub(super) struct HealthBody {
    /// Always `healthy`
    pub(super) status: String,
}

/// Whether the process should get traffic.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Readiness")]
pub(super) struct ReadyBody {
    /// `ready` or `not_ready`
    pub(super) status: String,
    /// Each system by name: `ok`, or what is wrong
    pub(super) checks: BTreeMap<String, String>,
}

/// How an event reached the tenant's system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "Channel", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum ChannelBody {
    /// A web page
    Web,
    /// A mobile application
    Mobile,
    /// A server calling an API
    Api,
    /// An e-mail
    Email,
    /// A push notification
    Push,
}

impl From<Channel> for ChannelBody {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Web => Self::Web,
            Channel::Mobile => Self::Mobile,
            Channel::Api => Self::Api,
            Channel::Email => Self::Email,
            Channel::Push => Self::Push,
        }
    }
}

impl From<ChannelBody> for Channel {
    fn from(channel: ChannelBody) -> Self {
        match channel {
            ChannelBody::Web => Self::Web,
            ChannelBody::Mobile => Self::Mobile,
            ChannelBody::Api => Self::Api,
            ChannelBody::Email => Self::Email,
            ChannelBody::Push => Self::Push,
        }
    }
}
