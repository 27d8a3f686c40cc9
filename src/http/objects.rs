//! Reads what operators send, between the linted text and their forms. Invariant: a structure is read from a JSON object and from
//! nothing else; serde by itself also takes an array for the members in their order, which no schema of ours says.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};

/// What `null` is for a member that may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Null {
    /// As if the member were absent.
    Absent,
    /// Of the wrong type.
    Refused,
}

/// Reads `text` as `T`.
///
/// # Errors
/// Where and why the text is not JSON of that form. The words repeat what was sent: not for an answer.
pub(super) fn read<T: DeserializeOwned>(text: &str, null: Null) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    let form = T::deserialize(Objects(&mut json, null))?;
    json.end().map(|()| form)
}

/// Hands everything on but for structures, down to the leaves.
struct Objects<T>(T, Null);

macro_rules! hand_on {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            self.0.$method(visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    hand_on! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
        deserialize_ignored_any
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Objects(visitor, self.1))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Objects(visitor, self.1))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_seq(Objects(visitor, self.1))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, members: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(members, Objects(visitor, self.1))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        members: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, members, Objects(visitor, self.1))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(Objects(visitor, self.1))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Objects(visitor, self.1))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }
}

/// The visits that lead further down; a form's leaves are visited by their own visitors.
impl<'de, V: Visitor<'de>> Visitor<'de> for Objects<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(formatter)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        match self.1 {
            Null::Absent => self.0.visit_none(),
            Null::Refused => Err(E::invalid_type(Unexpected::Unit, &self.0)),
        }
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Objects(deserializer, self.1))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Objects(deserializer, self.1))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Objects(members, self.1))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(members, self.1))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Objects(seed, self.1))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Objects(seed, self.1))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(deserializer, self.1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, PartialEq, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Leaf {
        #[serde(default)]
        number: Option<i64>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Form {
        #[serde(default)]
        one: Option<Leaf>,
        #[serde(default)]
        many: Vec<Leaf>,
        #[serde(default)]
        named: BTreeMap<String, Leaf>,
        #[serde(default)]
        any: Value,
    }

    #[test]
    fn objects_are_read_at_every_depth() {
        let text = r#"{"one":{"number":1},"many":[{"number":null},{}],"named":{"a":{"number":2}},"any":[{"b":[]}]}"#;
        let read: Form = read(text, Null::Absent).expect("a form");
        assert_eq!(read, serde_json::from_str(text).expect("a form"));
    }

    #[test]
    fn an_array_is_no_structure() {
        for text in [r#"{"one":[]}"#, r#"{"one":[1]}"#, r#"{"many":[[1]]}"#, r#"{"named":{"a":[1]}}"#] {
            assert!(serde_json::from_str::<Form>(text).is_ok(), "serde takes {text}");
            assert!(read::<Form>(text, Null::Absent).is_err(), "{text}");
        }
        for text in [r#"{"other":1}"#, "{} {}", r#"{"one":{"number":"1"}}"#] {
            assert!(read::<Form>(text, Null::Absent).is_err(), "{text}");
        }
    }

    #[test]
    fn null_is_absent_or_refused() {
        for text in [r#"{"one":null}"#, r#"{"one":{"number":null}}"#, r#"{"many":[{"number":null}]}"#] {
            assert!(read::<Form>(text, Null::Absent).is_ok(), "{text}");
            assert!(read::<Form>(text, Null::Refused).is_err(), "{text}");
        }
        assert!(read::<Form>(r#"{"any":null}"#, Null::Refused).is_ok(), "a value of any type may be null");
    }
}
