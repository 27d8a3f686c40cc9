//! Texts with a form: times, and JSON kept as it came. Invariant: the documented schema of a type is the form of its bytes.

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::schema;
use crate::domain::time::Timestamp;

/// A time in an answer: RFC 3339 in UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rfc3339(pub(super) Timestamp);

/// A time in a question: Unix seconds or RFC 3339.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(pub(super) Timestamp);

/// JSON text of a number.
#[derive(Debug, Serialize)]
pub(super) struct Number(Box<RawValue>);

/// JSON text of an object.
#[derive(Debug, Serialize)]
pub(super) struct FreeObject(Box<RawValue>);

/// poem-openapi's view of a type without parts.
macro_rules! documented {
    ($name:ident, $schema:expr) => {
        impl Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::empty())
            }
        }
    };
}

documented!(Rfc3339, MetaSchema::new_with_format("string", "date-time"));
documented!(Time, schema::time("Unix seconds or RFC 3339"));
documented!(Number, MetaSchema::new("number"));
documented!(FreeObject, schema::free_object());

macro_rules! raw {
    ($($name:ident),*) => {$(
        impl $name {
            /// Takes what the store holds; a text that is not JSON is a mistake of ours and is left out.
            pub(super) fn new(text: Cow<'static, str>) -> Option<Self> {
                RawValue::from_string(text.into_owned())
                    .inspect_err(|error| tracing::error!(%error, "a stored field is not JSON"))
                    .ok()
                    .map(Self)
            }
        }

        impl ToJSON for $name {
            fn to_json(&self) -> Option<Value> {
                serde_json::from_str(self.0.get()).ok()
            }
        }

        impl ParseFromJSON for $name {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                serde_json::value::to_raw_value(&value).map(Self).map_err(ParseError::custom)
            }
        }
    )*};
}

raw!(Number, FreeObject);

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Rfc3339 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse_rfc3339(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl ToJSON for Rfc3339 {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.to_string().into())
    }
}

impl ParseFromJSON for Rfc3339 {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let text = String::parse_from_json(value).map_err(ParseError::propagate)?;
        Timestamp::parse_rfc3339(&text).map(Self).map_err(ParseError::custom)
    }
}

impl ParseFromParameter for Time {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        // A plus sign of an offset that was not percent-encoded has become a space.
        Timestamp::parse(&value.replace(' ', "+")).map(Self).map_err(ParseError::custom)
    }
}

impl ToJSON for Time {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        let text = Time::parse_from_parameter("2023-11-14T23:13:20 01:00").expect("time");
        let seconds = Time::parse_from_parameter("1700000000").expect("time");
        assert_eq!(text.0, seconds.0);
        assert!(Time::parse_from_parameter("yesterday").is_err());
    }

    #[test]
    fn stored_json_is_written_as_it_came() {
        let text = r#"{ "b": 1.50,"a":[1e2] }"#;
        let written = serde_json::to_string(&FreeObject::new(text.into()).expect("JSON")).expect("written");
        assert_eq!(written, text);
        assert!(Number::new("1,5".into()).is_none());
    }
}
