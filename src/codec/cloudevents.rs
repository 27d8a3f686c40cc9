//! CloudEvents 1.0 in JSON, as drafts of our own events. Invariant: whatever a fault points at is named as the CloudEvent names it,
//! and an event in binary mode is judged as the structured one it stands for.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{Draft, Malformed, as_text, clean, syntax};
use crate::domain::outcome::Fault;

/// The attributes we know. Others are allowed by the specification and ignored.
#[derive(Debug, Default, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    specversion: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    source: Option<&'a RawValue>,
    #[serde(rename = "type")]
    kind: Option<&'a RawValue>,
    subject: Option<&'a RawValue>,
    time: Option<&'a RawValue>,
    dataschema: Option<&'a RawValue>,
    datacontenttype: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    data_base64: Option<&'a RawValue>,
    accountid: Option<&'a RawValue>,
    campaignid: Option<&'a RawValue>,
    channel: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
}

/// Where each field of a draft comes from.
const NAMES: [(&str, &str); 10] = [
    ("/event_id", "/id"),
    ("/account_id", "/accountid"),
    ("/event_name", "/type"),
    ("/user_id", "/subject"),
    ("/campaign_id", "/campaignid"),
    ("/timestamp", "/time"),
    ("/schema_version", "/dataschema"),
    ("/metadata", "/data"),
    ("/channel", "/channel"),
    ("/value", "/value"),
];

/// Lints and parses one structured CloudEvent. The faults are those of the CloudEvent itself; the rules of events come after.
///
/// # Errors
/// [`Malformed`] when it is no usable JSON object.
pub fn draft(bytes: &[u8]) -> Result<(Draft<'_>, Vec<Fault>), Malformed> {
    let event: Envelope<'_> = serde_json::from_str(clean(bytes)?).map_err(|error| syntax(&error))?;
    let faults = faults(&event);
    let draft = Draft {
        event_id: event.id,
        account_id: event.accountid,
        event_name: event.kind,
        kind: None,
        user_id: event.subject,
        channel: event.channel,
        source: event.source,
        campaign_id: event.campaignid,
        timestamp: event.time,
        tags: None,
        value: event.value,
        schema_version: event.dataschema.and_then(version),
        metadata: event.data,
    };
    Ok((draft, faults))
}

/// The place in a draft, as the CloudEvent names it.
pub fn attribute(pointer: Cow<'static, str>) -> Cow<'static, str> {
    let known = NAMES.iter().find_map(|(field, attribute)| {
        pointer
            .strip_prefix(field)
            .map(|rest| if rest.is_empty() { (*attribute).into() } else { format!("{attribute}{rest}").into() })
    });
    known.unwrap_or(pointer)
}

fn faults(event: &Envelope<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    match event.specversion.map(as_text) {
        None => faults.push(Fault::new("/specversion", "required", "is required")),
        Some(Some(version)) if version == "1.0" => {}
        Some(_) => faults.push(Fault::new("/specversion", "enum", "must be \"1.0\"")),
    }
    if event.id.is_none() {
        faults.push(Fault::new("/id", "required", "is required"));
    }
    if event.source.is_none() {
        faults.push(Fault::new("/source", "required", "is required"));
    }
    if event.data_base64.is_some() {
        faults.push(Fault::new("/data_base64", "unsupported", "must be absent: send JSON as data"));
    }
    if event.data.is_some()
        && !event.datacontenttype.is_none_or(|kind| as_text(kind).is_some_and(|kind| is_json(&kind)))
    {
        faults.push(Fault::new("/datacontenttype", "unsupported", "must be absent or a JSON media type"));
    }
    faults
}

/// Whether a media type means JSON.
pub fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

/// The version a schema's URI ends with (`…/order/v2`), as our `schema_version`.
fn version(uri: &RawValue) -> Option<&RawValue> {
    let text = uri.get().strip_prefix('"')?.strip_suffix('"')?;
    let digits = text.rsplit(['/', ':']).next()?.strip_prefix('v')?;
    serde_json::from_str(digits).ok().filter(|raw: &&RawValue| raw.get().bytes().all(|byte| byte.is_ascii_digit()))
}

/// The structured form of an event in binary mode: `attributes` are its `ce-` headers without that prefix.
///
/// # Errors
/// [`Malformed`] when the data are not JSON.
pub fn structured(attributes: &[(&str, &str)], data: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut text = Vec::with_capacity(data.len() + 256);
    for (name, value) in attributes {
        text.push(if text.is_empty() { b'{' } else { b',' });
        quote(&mut text, name)?;
        text.push(b':');
        let value = percent_decoded(value);
        let number = *name == "value" && serde_json::from_str::<serde_json::Number>(&value).is_ok();
        if number { text.extend_from_slice(value.as_bytes()) } else { quote(&mut text, &value)? }
    }
    if !data.trim_ascii().is_empty() {
        // Parsed on its own first: data that close their value early must not become attributes.
        let data: &RawValue = serde_json::from_slice(data).map_err(|error| {
            let Malformed(fault) = syntax(&error);
            Malformed(Fault { pointer: "/data".into(), ..fault })
        })?;
        text.push(if text.is_empty() { b'{' } else { b',' });
        text.extend_from_slice(b"\"data\":");
        text.extend_from_slice(data.get().as_bytes());
    }
    if text.is_empty() {
        text.push(b'{');
    }
    text.push(b'}');
    Ok(text)
}

fn quote(text: &mut Vec<u8>, value: &str) -> Result<(), Malformed> {
    serde_json::to_writer(text, value).map_err(|error| syntax(&error))
}

/// Undoes the percent-encoding of the HTTP binding (§3.1.3.2). What does not decode to UTF-8 stays as it came.
fn percent_decoded(value: &str) -> Cow<'_, str> {
    if !value.contains('%') {
        return Cow::Borrowed(value);
    }
    let (bytes, mut decoded, mut at) = (value.as_bytes(), Vec::with_capacity(value.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let hex = |at: usize| bytes.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).map_or(Cow::Borrowed(value), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_become_fields() {
        let text = br#"{"specversion":"1.0","id":"e","source":"/s","type":"order.paid","subject":"u","time":"2026-01-01T00:00:00Z",
            "dataschema":"https://x/order/v2","data":{ "a": 1 },"value":1.5,"extra":"ignored"}"#;
        let (draft, faults) = draft(text).expect("usable");
        assert_eq!(faults, []);
        let get = |raw: Option<&RawValue>| raw.map(|raw| raw.get().to_owned());
        assert_eq!(get(draft.event_id).as_deref(), Some("\"e\""));
        assert_eq!(get(draft.user_id).as_deref(), Some("\"u\""));
        assert_eq!(get(draft.schema_version).as_deref(), Some("2"));
        assert_eq!(get(draft.metadata).as_deref(), Some("{ \"a\": 1 }"));
    }

    #[test]
    fn all_faults_of_the_envelope_are_told() {
        let text =
            br#"{"specversion":"0.3","data":{},"data_base64":"x","datacontenttype":"text/xml","dataschema":"urn:x:7"}"#;
        let (draft, faults) = draft(text).expect("usable");
        let pointers: Vec<_> = faults.iter().map(|fault| &*fault.pointer).collect();
        assert_eq!(pointers, ["/specversion", "/id", "/source", "/data_base64", "/datacontenttype"]);
        assert!(draft.schema_version.is_none(), "a number alone is no version");
        assert_eq!(attribute("/metadata/a/b".into()), "/data/a/b");
        assert_eq!(attribute("/nothing".into()), "/nothing");
    }

    #[test]
    fn binary_mode_becomes_structured() {
        let attributes = [("specversion", "1.0"), ("id", "a%20b%C3%A9%zz\"c"), ("value", "1.50")];
        let text = structured(&attributes, b" {\"a\":1} ").expect("JSON");
        assert_eq!(text, r#"{"specversion":"1.0","id":"a bé%zz\"c","value":1.50,"data":{"a":1}}"#.as_bytes());
        assert_eq!(structured(&[], b"").expect("nothing"), b"{}");
        let error = structured(&attributes, br#"{},"subject":"smuggled""#).expect_err("refused");
        assert_eq!(error.0.pointer, "/data");
    }
}
