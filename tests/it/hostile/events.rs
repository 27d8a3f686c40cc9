//! Events that are JSON and break a rule, alone and among others.

use super::kit::{Kit, SECRET};
use super::row::{Row, Section, Step, fault, row};

const CODE: &str = "invalid_event";
const GOOD: &str = r#"{"event_name":"view","user_id":"fine"}"#;

fn bad(sent: &'static str, at: (&'static str, &'static str), steps: fn(&Kit) -> Vec<Step>) -> Row {
    fault(sent, CODE, at, steps)
}

pub fn section() -> Section {
    Section {
        title: "Events",
        about: "All faults of an event are told at once.",
        rows: [ids_and_names(), fields(), times()].into_iter().flatten().collect(),
    }
}

fn ids_and_names() -> Vec<Row> {
    vec![
        bad("no user_id", ("/user_id", "required"), |kit| kit.body(r#"{"event_name":"view"}"#)),
        bad("no event_name", ("/event_name", "required"), |kit| kit.body(r#"{"user_id":"u"}"#)),
        bad("a blank user_id", ("/user_id", "not_blank"), |kit| kit.body(r#"{"event_name":"view","user_id":" \t"}"#)),
        bad("a user_id of 256 characters", ("/user_id", "max_length"), |kit| {
            kit.body(format!(r#"{{"event_name":"view","user_id":"{}"}}"#, "ü".repeat(256)))
        }),
        bad("a user_id that is a number", ("/user_id", "type"), |kit| kit.body(r#"{"event_name":"view","user_id":7}"#)),
        bad("event_name and type that differ", ("/type", "alias"), |kit| kit.event(r#""type":"click""#)),
        bad("an empty event_id", ("/event_id", "event_id"), |kit| kit.event(r#""event_id":"""#)),
        bad("an event_id of 129 characters", ("/event_id", "event_id"), |kit| {
            kit.event(&format!(r#""event_id":"{}""#, "x".repeat(129)))
        }),
        bad("an event_id with a control character", ("/event_id", "event_id"), |kit| kit.event(r#""event_id":"a\nb""#)),
        bad("an event_id with a space", ("/event_id", "event_id"), |kit| kit.event(r#""event_id":"a b""#)),
        bad("an event_id that is not ASCII", ("/event_id", "event_id"), |kit| kit.event(r#""event_id":"ключ""#)),
        bad("a Kafka key of 1 MB in event_id's clothes", ("", "max_bytes"), |kit| {
            kit.event(&format!(r#""event_id":"{}""#, "x".repeat(1_000_000)))
        })
        .with_status(413, "event_too_large"),
    ]
}

fn fields() -> Vec<Row> {
    vec![
        bad("an unknown channel", ("/channel", "enum"), |kit| kit.event(r#""channel":"fax""#)),
        bad("tags that are no array", ("/tags", "type"), |kit| kit.event(r#""tags":"a""#)),
        bad("33 tags", ("/tags", "max_items"), |kit| kit.event(&format!(r#""tags":["a"{}]"#, r#","a""#.repeat(32)))),
        bad("a tag that is a number", ("/tags/1", "type"), |kit| kit.event(r#""tags":["a",1]"#)),
        bad("a value that is a string", ("/value", "type"), |kit| kit.event(r#""value":"1""#)),
        bad("an unknown schema_version", ("/schema_version", "enum"), |kit| kit.event(r#""schema_version":99"#)),
        bad("a schema_version with a fraction", ("/schema_version", "enum"), |kit| {
            kit.event(r#""schema_version":1.0"#)
        }),
        bad("metadata that is an array", ("/metadata", "type"), |kit| kit.event(r#""metadata":[]"#)),
        bad("metadata over 32 KiB", ("/metadata", "max_bytes"), |kit| {
            kit.event(&format!(r#""metadata":{{"a":"{}"}}"#, "x".repeat(32_768)))
        }),
        bad("17 levels of metadata", ("/metadata", "max_depth"), |kit| {
            kit.event(&format!(r#""metadata":{{"a":{}{}}}"#, "[".repeat(16), "]".repeat(16)))
        }),
        row("an event over 64 KiB", 413, "event_too_large", |kit| {
            kit.event(&format!(r#""x":"{}""#, "x".repeat(65_536)))
        }),
        row("names of SQL, Redis and format strings: stored as they are", 202, "accepted", |kit| {
            kit.body(r#"{"event_id":"%s:{*}?[a]","event_name":"'; drop table events; --%n","user_id":"fine"}"#)
        }),
        row("fields nobody knows: ignored, never stored", 202, "accepted", |kit| {
            kit.body(r#"{"event_name":"view","user_id":"fine","stored_at":0,"is_admin":true}"#)
        }),
    ]
}

fn times() -> Vec<Row> {
    let at = |rule: &'static str| ("/timestamp", rule);
    vec![
        bad("a timestamp that is no time", at("timestamp"), |kit| kit.event(r#""timestamp":"yesterday""#)),
        bad("a timestamp with a fraction", at("timestamp"), |kit| kit.event(r#""timestamp":1700000000.5"#)),
        bad("a negative timestamp", at("timestamp"), |kit| kit.event(r#""timestamp":-1"#)),
        bad("milliseconds", at("timestamp"), |kit| kit.event(r#""timestamp":1700000000000000"#)),
        bad("year 9999", at("timestamp"), |kit| kit.event(r#""timestamp":"9999-12-31T23:59:59Z""#)),
        bad("year 9998", at("future"), |kit| kit.event(r#""timestamp":"9998-12-31T23:59:59Z""#)),
        bad("the year 1970", at("retention"), |kit| kit.event(r#""timestamp":0"#)),
        bad("a day ahead", at("future"), |kit| {
            let ahead = weir::domain::time::Timestamp::now().unix_seconds() + 86_400;
            kit.event(&format!(r#""timestamp":{ahead}"#))
        }),
    ]
}

fn batch(kit: &Kit, events: impl IntoIterator<Item = String>) -> Vec<Step> {
    let events: Vec<String> = events.into_iter().collect();
    kit.post("/v1/events/batch", format!(r#"{{"events":[{}]}}"#, events.join(",")))
}

fn good(count: usize) -> impl Iterator<Item = String> {
    std::iter::repeat_n(GOOD.to_owned(), count)
}

pub fn batches() -> Section {
    Section {
        title: "Batches",
        about: "A bad event never harms its neighbours; a batch fails as a whole only when none of it can be taken.",
        rows: vec![
            row("a batch of none", 400, "malformed", |kit| batch(kit, [])),
            row("a batch without events", 400, "malformed", |kit| kit.post("/v1/events/batch", "{}")),
            row("events that are no array", 400, "malformed", |kit| kit.post("/v1/events/batch", r#"{"events":{}}"#)),
            row("events twice", 400, "malformed", |kit| kit.post("/v1/events/batch", r#"{"events":[],"events":[]}"#)),
            row("a batch that is an array", 400, "malformed", |kit| kit.post("/v1/events/batch", "[]")),
            row("a batch that breaks off", 400, "malformed", |kit| kit.post("/v1/events/batch", r#"{"events":[{},"#)),
            row("a batch of 1,000, the limit", 202, "accepted", |kit| batch(kit, good(1_000))),
            row("a batch of 1,001", 413, "batch_too_large", |kit| batch(kit, good(1_001))),
            row("one bad event among 100", 207, "partial", |kit| batch(kit, good(99).chain(["{}".to_owned()]))),
            row("an event nested 30,000 deep among 100", 207, "partial", |kit| {
                batch(kit, good(99).chain([format!("{}{}", "[".repeat(30_000), "]".repeat(30_000))]))
            }),
            row("null, a number and a list among good events", 207, "partial", |kit| {
                batch(kit, good(2).chain(["null", "7", "[]"].map(str::to_owned)))
            }),
            row("another account's event among good ones", 207, "partial", |kit| {
                let foreign = format!(r#"{{"event_name":"view","user_id":"{SECRET}","account_id":"rival"}}"#);
                batch(kit, good(2).chain([foreign]))
            }),
            row("only bad events", 400, CODE, |kit| batch(kit, ["{}".to_owned(), "{}".to_owned()])),
            row("the same event_id twice: the second is a duplicate", 202, "accepted", |kit| {
                let event = r#"{"event_id":"twice","event_name":"view","user_id":"fine"}"#.to_owned();
                batch(kit, [event.clone(), event])
            }),
        ],
    }
}
