//! The documented rules of what tenants send. Invariant: what this schema refuses the door refuses, with the default limits; a
//! test of the whole path sends what the schema allows.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use serde_json::json;

use crate::domain::event::{Channel, MAX_TAGS, MAX_TEXT_CHARS};
use crate::domain::id::MAX_ID_LEN;

/// Component name of one event on its way in.
pub(super) const NEW_EVENT: &str = "NewEvent";

/// Component name of a batch on its way in.
pub(super) const NEW_BATCH: &str = "NewBatch";

/// Component name of a structured CloudEvent.
pub(super) const CLOUD_EVENT: &str = "CloudEvent";

/// Component name of a batch of CloudEvents.
pub(super) const CLOUD_EVENTS: &str = "CloudEvents";

/// Component name of one event a line.
pub(super) const LINES: &str = "EventLines";

/// Component name of what is an event or a batch.
pub(super) const EVENT_OR_BATCH: &str = "EventOrBatch";

/// Component name of the same as text.
pub(super) const BEACON: &str = "Beacon";

/// Component name of what a provider sends.
pub(super) const DELIVERY: &str = "Delivery";

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
        description: Some("Up to 1,000 events and 2 MiB (8 MiB inflated); each event ends on its own"),
        required: vec!["events"],
        properties: vec![("events", inline(events)), ("sent_at", inline(time(SENT_AT)))],
        ..MetaSchema::new("object")
    }
}

/// What the sender's clock said; also the description of the query parameter.
const SENT_AT: &str =
    "What your clock said when you sent this: its difference to ours is added to the times of the events";

/// Registers every schema of what comes in.
pub(super) fn register(registry: &mut Registry) {
    let all = [
        (NEW_EVENT, new_event()),
        (NEW_BATCH, new_batch()),
        (CLOUD_EVENT, cloud_event()),
        (CLOUD_EVENTS, cloud_events()),
        (LINES, lines()),
        (EVENT_OR_BATCH, event_or_batch()),
        (BEACON, beacon()),
        (DELIVERY, delivery()),
    ];
    for (name, schema) in all {
        registry.schemas.entry(name.to_owned()).or_insert(schema);
    }
}

fn cloud_event() -> MetaSchema {
    let named =
        |description| MetaSchema { pattern: Some(NOT_BLANK.to_owned()), ..text(description, 1, MAX_TEXT_CHARS) };
    let id = MetaSchema {
        pattern: Some("^[!-~]+$".to_owned()),
        ..text("Becomes `event_id`: unique within the account, whatever the source", 1, MAX_ID_LEN)
    };
    let specversion = MetaSchema { enum_items: vec![json!("1.0")], ..described("string", "Version of CloudEvents") };
    let schema = "A URI; one that ends in `/v2` or `:v2` sets `schema_version` to 2";
    let properties = vec![
        ("specversion", specversion),
        ("id", id),
        ("source", text("Becomes `source`", 0, MAX_TEXT_CHARS)),
        ("type", named("Becomes `event_name`")),
        ("subject", named("Becomes `user_id`")),
        ("time", MetaSchema { format: Some("date-time"), ..described("string", "Becomes `timestamp`") }),
        ("dataschema", described("string", schema)),
        ("datacontenttype", described("string", "Absent, or a JSON media type")),
        ("data", MetaSchema { description: Some("Becomes `metadata`"), ..free_object() }),
        ("accountid", text("Extension, a check: the account of the token", 1, MAX_ID_LEN)),
        ("campaignid", text("Extension: becomes `campaign_id`", 0, MAX_TEXT_CHARS)),
        ("channel", text("Extension: becomes `channel`", 0, MAX_TEXT_CHARS)),
        ("value", described("number", "Extension: becomes `value`")),
    ];
    MetaSchema {
        description: Some(
            "A CloudEvent 1.0. Other extensions are taken and not kept. In binary mode (`ce-` headers) the body is `data`",
        ),
        required: vec!["specversion", "id", "source", "type", "subject"],
        properties: properties.into_iter().map(|(name, schema)| (name, inline(schema))).collect(),
        ..MetaSchema::new("object")
    }
}

fn cloud_events() -> MetaSchema {
    MetaSchema {
        description: Some("Up to 1,000 CloudEvents"),
        items: Some(Box::new(MetaSchemaRef::Reference(CLOUD_EVENT.to_owned()))),
        min_items: Some(1),
        max_items: Some(MAX_EVENTS),
        ..MetaSchema::new("array")
    }
}

fn lines() -> MetaSchema {
    let text = "One `NewEvent` a line, up to 10,000 and 10 MiB (on the wire and inflated), taken while they come. Beyond a cap \
        nothing is read: the last line of `results` then stands for all that follows";
    MetaSchema { format: Some("binary"), ..described("string", text) }
}

fn event_or_batch() -> MetaSchema {
    MetaSchema { description: Some("A `NewBatch` when it has a member `events`, else a `NewEvent`"), ..free_object() }
}

fn delivery() -> MetaSchema {
    MetaSchema {
        description: Some("Whatever the provider sends: the source says where in it our fields stand"),
        ..MetaSchema::ANY
    }
}

fn beacon() -> MetaSchema {
    let text = "The JSON of a `NewBatch` when it has a member `events`, else of a `NewEvent`";
    MetaSchema { min_length: Some(2), ..described("string", text) }
}

/// A time as we take it: Unix seconds or RFC 3339.
pub(super) fn time(description: &'static str) -> MetaSchema {
    let seconds = MetaSchema {
        minimum: Some(0.0),
        // The end of the year 9998.
        maximum: Some(253_370_764_799.0),
        format: Some("int64"),
        ..described("integer", "Unix seconds")
    };
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

pub(super) fn text(description: &'static str, min: usize, max: usize) -> MetaSchema {
    MetaSchema {
        min_length: Some(min).filter(|min| *min > 0),
        max_length: Some(max),
        ..described("string", description)
    }
}

pub(super) fn described(kind: &'static str, description: &'static str) -> MetaSchema {
    MetaSchema { description: Some(description), ..MetaSchema::new(kind) }
}

pub(super) fn inline(schema: MetaSchema) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(schema))
}
