//! From a provider's JSON to ours. Invariant: pure, total and without recursion; values keep their bytes, and whatever a rule of
//! ours breaks is found where events of tenants are checked, not here.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::definition::{Definition, Rule};
use crate::codec::json::{Malformed, lint};
use crate::domain::outcome::Fault;

/// Fields that are texts: a provider's number there is meant as one.
const TEXTS: [&str; 6] = ["event_id", "event_name", "user_id", "channel", "source", "campaign_id"];

/// Turns a delivery into a batch of ours. An event without an id gets one made of the delivery's bytes and time and its place in
/// it, so that the same delivery sent again is the same events.
///
/// # Errors
/// The fault of a delivery that is no usable JSON, or has no list where it should be.
pub(super) fn batch(definition: &Definition, signed_at: &str, body: &[u8]) -> Result<Vec<u8>, Fault> {
    let text = std::str::from_utf8(body).map_err(|_| Fault::new("", "utf8", "must be UTF-8"))?;
    lint(text).map_err(|Malformed(fault)| fault)?;
    let syntax = |_| Fault::new("", "syntax", "is not valid JSON");
    let delivery: &RawValue = serde_json::from_str(text).map_err(syntax)?;
    let events: Vec<&RawValue> = match &definition.events {
        None => vec![delivery],
        Some(pointer) => at(delivery, pointer)
            .and_then(|list| serde_json::from_str(list.get()).ok())
            .ok_or_else(|| Fault::new(pointer.clone(), "type", "must be a list of events"))?,
    };
    let mut seed = Sha256::new();
    seed.update(signed_at);
    seed.update([0]);
    seed.update(body);
    let seed = seed.finalize();
    let mapped = events.iter().enumerate().map(|(index, event)| one(definition, event, &id(&seed, index)));
    Ok(format!("{{\"events\":[{}]}}", mapped.collect::<Vec<_>>().join(",")).into_bytes())
}

fn one(definition: &Definition, event: &RawValue, made_id: &str) -> String {
    let mut members: Vec<String> = Vec::with_capacity(definition.fields.len() + 1);
    let mut has_id = false;
    for (name, rule) in &definition.fields {
        if let Some(value) = rule.value(event, TEXTS.contains(&name.as_str())) {
            has_id |= name == "event_id";
            members.push(format!("\"{name}\":{value}"));
        }
    }
    if !has_id {
        members.push(format!("\"event_id\":\"{made_id}\""));
    }
    format!("{{{}}}", members.join(","))
}

fn id(seed: &[u8], index: usize) -> String {
    let digest = Sha256::new().chain_update(seed).chain_update(index.to_be_bytes()).finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Rule {
    /// JSON text of the field; `None` when there is nothing to say.
    fn value(&self, event: &RawValue, text: bool) -> Option<String> {
        let found = self.pointer.as_deref().and_then(|pointer| at(event, pointer));
        let found = found.map(RawValue::get).filter(|found| *found != "null").map(str::to_owned);
        let fixed = || self.constant.as_ref().or(self.default.as_ref()).map(Value::to_string);
        let value = found.or_else(fixed)?;
        let scalar = |first: char| first == '-' || first.is_ascii_digit() || first == 't' || first == 'f';
        Some(if text && value.starts_with(scalar) { format!("\"{value}\"") } else { value })
    }
}

/// What a JSON pointer leads to. Each step parses one level; the text has been linted, so no level is deeper than it allows.
fn at<'a>(value: &'a RawValue, pointer: &str) -> Option<&'a RawValue> {
    let mut value = value;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        value = if value.get().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
            let index = step.parse::<usize>().ok().filter(|index| index.to_string() == step)?;
            items.get(index).copied()?
        } else {
            let members: HashMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
            members.get(&step).copied()?
        };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(events: Option<&str>, fields: Value) -> Definition {
        let signature = json!({
            "header": "s", "prefix": "", "encoding": "hex", "timestamp_header": "t", "separator": ".", "tolerance_seconds": 1,
        });
        let text = json!({"account_id": "a", "signature": signature, "events": events, "fields": fields});
        serde_json::from_value(text).expect("a definition")
    }

    fn mapped(definition: &Definition, body: &str) -> Value {
        serde_json::from_slice(&batch(definition, "1", body.as_bytes()).expect("usable")).expect("JSON")
    }

    #[test]
    fn pointers_constants_and_defaults_make_an_event() {
        let fields = json!({
            "event_id": {"pointer": "/a~1b/1"},
            "event_name": {"pointer": "/kind", "default": "unknown"},
            "user_id": {"pointer": "/device"},
            "channel": {"constant": "api"},
            "value": {"pointer": "/n"},
            "source": {"pointer": "/nothing"},
            "metadata": {"pointer": ""},
        });
        let body = r#"{"a/b":["x","id-1"],"kind":null,"device":987654321,"n":1.50}"#;
        let event = &mapped(&definition(None, fields), body)["events"][0];
        assert_eq!((&event["event_id"], &event["event_name"]), (&json!("id-1"), &json!("unknown")));
        assert_eq!((&event["user_id"], &event["channel"]), (&json!("987654321"), &json!("api")));
        assert_eq!(event["metadata"], serde_json::from_str::<Value>(body).expect("JSON"));
        assert_eq!(event.get("source"), None);
        assert_eq!(event["value"].to_string(), "1.5");
    }

    #[test]
    fn a_list_is_many_events_and_ids_are_made_of_the_delivery() {
        let fields = json!({"event_name": {"constant": "n"}, "user_id": {"pointer": "/u"}});
        let listed = definition(Some("/data/items"), fields);
        let body = r#"{"data":{"items":[{"u":"1"},{"u":"2"}]}}"#;
        let (first, again) = (mapped(&listed, body), mapped(&listed, body));
        assert_eq!(first, again);
        assert_ne!(first["events"][0]["event_id"], first["events"][1]["event_id"]);
        assert_eq!(batch(&listed, "1", b"{}").expect_err("no list").pointer, "/data/items");
    }

    #[test]
    fn what_is_no_sound_json_has_a_fault() {
        let one = definition(None, json!({"event_name": {"constant": "n"}, "user_id": {"constant": "u"}}));
        for (body, rule) in [
            (&b"{"[..], "syntax"),
            (b"\xff", "utf8"),
            (b"", "syntax"),
            (br#"{"a":"\u0000"}"#, "nul"),
            (br#"{"a":1,"a":2}"#, "duplicate_key"),
        ] {
            assert_eq!(batch(&one, "1", body).expect_err("refused").rule, rule);
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(batch(&one, "1", deep.as_bytes()).expect_err("refused").rule, "max_depth");
    }
}
