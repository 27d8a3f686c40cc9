//! What an operator says about a provider. Invariant: a definition that passes [`Definition::check`] can be followed for whatever
//! bytes a provider sends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::id::AccountId;
use crate::domain::outcome::Fault;

/// Most steps of a JSON pointer.
const MAX_STEPS: usize = 16;

/// Most bytes of a pointer, prefix, separator or header name.
const MAX_WORD: usize = 256;

/// Most seconds a signature may be old.
const MAX_TOLERANCE: u32 = 3_600;

/// A provider that sends us events: whose they are, how they are signed, and where in them our fields stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Account of every event of it.
    pub account_id: String,
    /// How deliveries are signed.
    pub signature: Signing,
    /// JSON pointer to the list of events in a delivery; absent when a delivery is one event.
    pub events: Option<String>,
    /// Where each of our fields comes from.
    pub fields: BTreeMap<String, Rule>,
}

/// How a provider signs: HMAC-SHA256 over the time, the separator and the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signing {
    /// Header of the signature.
    pub header: String,
    /// What stands before it, e.g. `sha256=`.
    pub prefix: String,
    /// How its bytes are written.
    pub encoding: Encoding,
    /// Header of the time it was signed at: Unix seconds or RFC 3339.
    pub timestamp_header: String,
    /// Between time and body.
    pub separator: String,
    /// Seconds this time may differ from ours: the replay window.
    pub tolerance_seconds: u32,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal, either case.
    Hex,
    /// Base64 with padding.
    Base64,
}

/// Where one field comes from: a place in the event or a constant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Rule {
    /// JSON pointer into the event.
    pub pointer: Option<String>,
    /// The same for every event.
    pub constant: Option<Value>,
    /// What stands in when the pointer leads nowhere or to null.
    pub default: Option<Value>,
}

/// The fields a rule may be for.
pub const FIELDS: [&str; 11] = [
    "event_id",
    "event_name",
    "user_id",
    "channel",
    "source",
    "campaign_id",
    "timestamp",
    "tags",
    "value",
    "schema_version",
    "metadata",
];

impl Definition {
    /// Everything that is wrong with it, each at its place.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = self.signature.check();
        if let Err(error) = AccountId::new(&self.account_id) {
            faults.push(Fault::new("/account_id", "account_id", error.to_string()));
        }
        if let Some(pointer) = &self.events {
            faults.extend(pointer_fault(pointer, "/events".to_owned()));
        }
        for name in ["event_name", "user_id"] {
            if !self.fields.contains_key(name) {
                faults.push(Fault::new(format!("/fields/{name}"), "required", "is required"));
            }
        }
        for (name, rule) in &self.fields {
            faults.extend(rule.check(&format!("/fields/{name}")));
        }
        faults
    }
}

impl Signing {
    fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (name, value) in [("header", &self.header), ("timestamp_header", &self.timestamp_header)] {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if value.is_empty() || value.len() > MAX_WORD || !value.bytes().all(token) {
                faults.push(Fault::new(format!("/signature/{name}"), "header", "must be the name of a header"));
            }
        }
        for (name, value) in [("prefix", &self.prefix), ("separator", &self.separator)] {
            if value.len() > MAX_WORD {
                faults.push(Fault::new(format!("/signature/{name}"), "max_length", "must be at most 256 bytes"));
            }
        }
        if !(1..=MAX_TOLERANCE).contains(&self.tolerance_seconds) {
            faults.push(Fault::new("/signature/tolerance_seconds", "range", "must be 1 to 3600"));
        }
        faults
    }
}

impl Rule {
    fn check(&self, place: &str) -> Option<Fault> {
        match (&self.pointer, &self.constant, &self.default) {
            (Some(pointer), None, _) => pointer_fault(pointer, format!("{place}/pointer")),
            (None, Some(_), None) => None,
            _ => Some(Fault::new(
                place.to_owned(),
                "rule",
                "must have a pointer, with or without a default, or a constant",
            )),
        }
    }
}

fn pointer_fault(pointer: &str, place: String) -> Option<Fault> {
    let sound = pointer.is_empty() || pointer.starts_with('/');
    if sound && pointer.len() <= MAX_WORD && pointer.matches('/').count() <= MAX_STEPS {
        return None;
    }
    Some(Fault::new(place, "pointer", "must be a JSON pointer (RFC 6901) of at most 16 steps and 256 bytes"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_mistakes_are_told_at_once() {
        let definition: Definition = serde_json::from_value(json!({
            "account_id": "a b",
            "signature": {
                "header": "", "prefix": "", "encoding": "hex", "timestamp_header": "X Time", "separator": ".",
                "tolerance_seconds": 0,
            },
            "events": "data",
            "fields": {"event_name": {"pointer": "/a", "constant": 1}, "value": {"default": 1}},
        }))
        .expect("a definition");
        let places: Vec<String> = definition.check().into_iter().map(|fault| fault.pointer.into_owned()).collect();
        let expected = [
            "/signature/header",
            "/signature/timestamp_header",
            "/signature/tolerance_seconds",
            "/account_id",
            "/events",
            "/fields/user_id",
            "/fields/event_name",
            "/fields/value",
        ];
        assert_eq!(places, expected);
    }
}
