//! The events of a batch, cut apart. Invariant: each is the bytes it came in, and no more than the cap are kept however many a
//! body holds.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Malformed, begins_with, syntax, text};

/// What a batch body holds.
#[derive(Debug)]
pub struct Items<'a> {
    /// The events, at most `max`; `None` when there is no `events` array.
    pub events: Option<Vec<&'a RawValue>>,
    /// There were more.
    pub too_many: bool,
    /// `sent_at`, when it is there and not null.
    pub sent_at: Option<&'a RawValue>,
}

/// Cuts `{"events": [...], "sent_at": …}` apart. Other members are ignored.
///
/// # Errors
/// [`Malformed`] when the body as a whole is not JSON, or not an object.
pub fn items(body: &[u8], max: usize) -> Result<Items<'_>, Malformed> {
    let text = text(body)?;
    let mut items = Items { events: None, too_many: false, sent_at: None };
    let mut parser = serde_json::Deserializer::from_str(text);
    Body { items: &mut items, max }
        .deserialize(&mut parser)
        .and_then(|twice| parser.end().map(|()| twice))
        .map_err(|error| syntax(&error))
        .and_then(|twice| match twice {
            Some(pointer) => Err(Malformed::new(pointer, "duplicate_key", "must appear once")),
            None => Ok(items),
        })
}

/// Cuts a JSON array apart.
///
/// # Errors
/// [`Malformed`] when the body as a whole is not JSON, or not an array.
pub fn elements(body: &[u8], max: usize) -> Result<Items<'_>, Malformed> {
    let text = begins_with(body, b'[', ("array", "must be a JSON array"))?;
    let mut too_many = false;
    let mut parser = serde_json::Deserializer::from_str(text);
    let events = List { too_many: &mut too_many, max }
        .deserialize(&mut parser)
        .and_then(|events| parser.end().map(|()| events))
        .map_err(|error| syntax(&error))?;
    Ok(Items { events: Some(events), too_many, sent_at: None })
}

struct Body<'i, 'a> {
    items: &'i mut Items<'a>,
    max: usize,
}

impl<'a> DeserializeSeed<'a> for Body<'_, 'a> {
    /// The pointer of what stood there twice.
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Body<'_, 'a> {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with events")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let (mut events_seen, mut sent_at_seen, mut twice) = (false, false, None);
        while let Some(key) = map.next_key::<std::borrow::Cow<'a, str>>()? {
            if key == "sent_at" {
                twice = twice.or(std::mem::replace(&mut sent_at_seen, true).then_some("/sent_at"));
                self.items.sent_at = map.next_value()?;
                continue;
            }
            if key != "events" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            twice = twice.or(std::mem::replace(&mut events_seen, true).then_some("/events"));
            let value: &'a RawValue = map.next_value()?;
            if value.get().starts_with('[') {
                let mut parser = serde_json::Deserializer::from_str(value.get());
                let list = List { too_many: &mut self.items.too_many, max: self.max };
                self.items.events = list.deserialize(&mut parser).map(Some).map_err(serde::de::Error::custom)?;
            }
        }
        Ok(twice)
    }
}

struct List<'i> {
    too_many: &'i mut bool,
    max: usize,
}

impl<'a> DeserializeSeed<'a> for List<'_> {
    type Value = Vec<&'a RawValue>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for List<'_> {
    type Value = Vec<&'a RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        let mut events = Vec::new();
        while events.len() < self.max {
            match seq.next_element::<&'a RawValue>()? {
                Some(event) => events.push(event),
                None => return Ok(events),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            *self.too_many = true;
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_a_batch_apart_and_counts_no_further_than_the_cap() {
        let body = br#"{"note":{"events":1},"events":[{"a":1}, 2,null],"x":[]}"#;
        let found = items(body, 3).expect("valid");
        let texts: Vec<_> = found.events.iter().flatten().map(|raw| raw.get()).collect();
        assert_eq!(texts, ["{\"a\":1}", "2", "null"]);
        assert!(!found.too_many);
        let found = items(body, 2).expect("valid");
        assert_eq!(found.events.map(|events| events.len()), Some(2));
        assert!(found.too_many);
    }

    #[test]
    fn a_batch_without_an_array_of_events_has_none() {
        for body in [&b"{}"[..], br#"{"events":null}"#, br#"{"events":{}}"#, br#"{"Events":[]}"#] {
            assert!(items(body, 3).expect("valid JSON").events.is_none());
        }
        assert_eq!(items(br#"{"events":[]}"#, 3).expect("valid").events.map(|events| events.len()), Some(0));
    }

    #[test]
    fn a_broken_body_is_refused_as_a_whole() {
        for body in [&b"{\"events\":[{]}"[..], b"{\"events\":[]} 1", b"{\"events\":[],\"events\":[]}", b"[]", b""] {
            assert!(items(body, 3).is_err(), "{body:?}");
        }
    }

    #[test]
    fn an_array_is_cut_apart_too_and_sent_at_is_found() {
        let found = elements(br#" [{"a":1}, 2] "#, 3).expect("valid");
        assert_eq!(found.events.map(|events| events.len()), Some(2));
        assert!(elements(br#"[1,2]"#, 1).expect("valid").too_many);
        for body in [&b"[1"[..], b"[1] 2", b"{}", b""] {
            assert!(elements(body, 3).is_err(), "{body:?}");
        }
        let found = items(br#"{"sent_at":5,"events":[]}"#, 3).expect("valid");
        assert_eq!(found.sent_at.map(|raw| raw.get()), Some("5"));
        assert!(items(br#"{"sent_at":null}"#, 3).expect("valid").sent_at.is_none());
        assert!(items(br#"{"sent_at":1,"sent_at":1}"#, 3).is_err());
    }

    #[test]
    fn an_item_may_nest_deeper_than_the_stack() {
        let deep = format!("{{\"events\":[{}{}]}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(items(deep.as_bytes(), 3).expect("cut, not judged").events.map(|events| events.len()), Some(1));
    }
}
