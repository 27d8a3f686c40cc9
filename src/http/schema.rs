//! The documented rules of what tenants send. Invariant: what this schema refuses the door refuses, with the default limits; a
//! test of the whole path sends what the schema allows.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde_json::json;

use crate::domain::event::{Channel, MAX_TAGS, MAX_TEXT_CHARS};
use crate::domain::id::MAX_ID_LEN;

/// Component name of one event on its way in.
pub(super) const NEW_EVENT: &str = "NewEvent";

/// Component name of a batch on its way in.
pub(super) const NEW_BATCH: &str = "NewBatch";

const MAX_EVENTS: usize = 1_000;
const NOT_BLANK: &str = r"\S";

/// One event.
pub(super) fn new_event() -> MetaSchema {
    let name = |description| MetaSchema { pattern: Some(NOT_BLANK.to_owned()), ..text(description, 1, MAX_TEXT_CHARS) };
    let event_id = MetaSchema {
        pattern: Some("^[!-~]+$".to_owned()),
        ..text("Unique within the account; makes sending again safe. A UUIDv7 is made when absent", 1, MAX_ID_LEN)
    };
    let channel = MetaSchema {
        enum_items: Channel::ALL.iter().map(|channel| json!(channel.as_str())).collect(),
        default: Some(json!("api")),
        description: Some("How the event reached your system"),
        ..MetaSchema::new("string")
    };
    let version = MetaSchema {
        default: Some(json!(1)),
        minimum: Some(1.0),
        format: Some("int32"),
        ..described("integer", "Version of your event's schema, among those this deployment takes")
    };
    let properties = vec![
        ("event_id", event_id),
        ("account_id", text("Only as a check: when present it must be the account of the token", 1, MAX_ID_LEN)),
        ("event_name", name("What happened")),
        ("type", name("Alias of `event_name`, for when that is absent; beside it, it must say the same")),
        ("user_id", name("Who did it")),
        ("channel", channel),
        ("source", text("Where your system got it from", 0, MAX_TEXT_CHARS)),
        ("campaign_id", text("The campaign it belongs to", 0, MAX_TEXT_CHARS)),
        (
            "timestamp",
            time(
                "When it happened: whole Unix seconds or RFC 3339, at most 5 minutes ahead, not older than events are kept; the time of receipt when absent",
            ),
        ),
        ("tags", tags()),
        ("value", described("number", "What windows sum and average; at most 1,000 digits")),
        ("schema_version", version),
        ("metadata", metadata()),
    ];
    let properties = properties.into_iter().map(|(name, schema)| (name, inline(schema))).collect();
    MetaSchema {
        description: Some("One event, at most 64 KiB"),
        required: vec!["event_name", "user_id"],
        properties,
        example: Some(json!({
            "event_name": "order.paid", "user_id": "u-42", "channel": "web",
            "timestamp": "2026-01-31T12:00:00Z", "value": 19.9, "metadata": {"order": "A-1"},
        })),
        ..MetaSchema::new("object")
    }
}

/// A batch.
pub(super) fn new_batch() -> MetaSchema {
    let events = MetaSchema {
        items: Some(Box::new(MetaSchemaRef::Reference(NEW_EVENT.to_owned()))),
        min_items: Some(1),
        max_items: Some(MAX_EVENTS),
        ..MetaSchema::new("array")
    };
    MetaSchema {
        description: Some("Up to 1,000 events and 2 MiB; each event ends on its own"),
        required: vec!["events"],
        properties: vec![("events", inline(events))],
        ..MetaSchema::new("object")
    }
}

/// A time as we take it: Unix seconds or RFC 3339.
pub(super) fn time(description: &'static str) -> MetaSchema {
    let seconds = MetaSchema { minimum: Some(0.0), format: Some("int64"), ..described("integer", "Unix seconds") };
    let text = MetaSchema { format: Some("date-time"), ..described("string", "RFC 3339") };
    MetaSchema { description: Some(description), any_of: vec![inline(seconds), inline(text)], ..MetaSchema::ANY }
}

fn tags() -> MetaSchema {
    MetaSchema {
        items: Some(Box::new(inline(MetaSchema { max_length: Some(MAX_TEXT_CHARS), ..MetaSchema::new("string") }))),
        max_items: Some(MAX_TAGS),
        ..described("array", "Words to find it by")
    }
}

/// Any object.
pub(super) fn free_object() -> MetaSchema {
    MetaSchema { additional_properties: Some(Box::new(inline(MetaSchema::ANY))), ..MetaSchema::new("object") }
}

fn metadata() -> MetaSchema {
    MetaSchema {
        description: Some("Anything of yours, kept byte for byte: at most 32 KiB and 16 levels"),
        ..free_object()
    }
}

fn text(description: &'static str, min: usize, max: usize) -> MetaSchema {
    MetaSchema {
        min_length: Some(min).filter(|min| *min > 0),
        max_length: Some(max),
        ..described("string", description)
    }
}

fn described(kind: &'static str, description: &'static str) -> MetaSchema {
    MetaSchema { description: Some(description), ..MetaSchema::new(kind) }
}

fn inline(schema: MetaSchema) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(schema))
}
