//! An event as its tenant wrote it. Invariant: every field is still the bytes it came in, so that all faults of an event can be
//! told at once instead of the first.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Malformed, clean, syntax};

/// One event before any rule. Fields that are absent or `null` are `None`; fields we do not know are ignored and never stored.
#[derive(Debug, Default, Deserialize)]
pub struct Draft<'a> {
    /// `event_id`
    #[serde(borrow)]
    pub event_id: Option<&'a RawValue>,
    /// `account_id`: compared with the token's, never used
    pub account_id: Option<&'a RawValue>,
    /// `event_name`
    pub event_name: Option<&'a RawValue>,
    /// `type`, the other name of `event_name`
    #[serde(rename = "type")]
    pub kind: Option<&'a RawValue>,
    /// `user_id`
    pub user_id: Option<&'a RawValue>,
    /// `channel`
    pub channel: Option<&'a RawValue>,
    /// `source`
    pub source: Option<&'a RawValue>,
    /// `campaign_id`
    pub campaign_id: Option<&'a RawValue>,
    /// `timestamp`
    pub timestamp: Option<&'a RawValue>,
    /// `tags`
    pub tags: Option<&'a RawValue>,
    /// `value`
    pub value: Option<&'a RawValue>,
    /// `schema_version`
    pub schema_version: Option<&'a RawValue>,
    /// `metadata`
    pub metadata: Option<&'a RawValue>,
}

/// Lints and parses one event.
///
/// # Errors
/// [`Malformed`] with the rule and, where it can be told, the JSON pointer.
pub fn draft(bytes: &[u8]) -> Result<Draft<'_>, Malformed> {
    serde_json::from_str(clean(bytes)?).map_err(|error| syntax(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_bytes_and_ignores_what_it_does_not_know() {
        let draft = draft(br#" {"user_id":"u","colour":[1],"metadata":{ "a" : 1e2 },"value":null} "#).expect("valid");
        assert_eq!(draft.user_id.map(RawValue::get), Some("\"u\""));
        assert_eq!(draft.metadata.map(RawValue::get), Some("{ \"a\" : 1e2 }"));
        assert!(draft.value.is_none(), "null is absent");
    }

    #[test]
    fn refuses_what_is_not_one_object() {
        for (bytes, rule) in [
            (&b""[..], "empty"),
            (b"  \n", "empty"),
            (b"[]", "object"),
            (b"null", "object"),
            (b"1", "object"),
            (b"{} x", "syntax"),
            (b"{}{}", "syntax"),
            (b"{\"a\":1", "syntax"),
            (b"{\"a\":NaN}", "syntax"),
            (b"{\"a\":01}", "syntax"),
            (b"{'a':1}", "syntax"),
            (b"{\"a\":\"\x01\"}", "syntax"),
            (b"\xEF\xBB\xBF{}", "bom"),
            (b"{\"a\":\"\xff\"}", "utf8"),
            (b"{\"a\":\"\xed\xa0\x80\"}", "utf8"),
        ] {
            let error = draft(bytes).expect_err("refused");
            assert_eq!(error.0.rule, rule, "{bytes:?}");
        }
    }

    #[test]
    fn the_reason_never_repeats_the_text() {
        let error = draft(br#"{"user_id": secret}"#).expect_err("refused");
        assert!(!error.0.reason.contains("secret"), "{error}");
    }
}
