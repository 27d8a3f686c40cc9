//! JSON at the door: one linting pass for what a parser lets through and Postgres does not, then a borrowed parse that leaves
//! every field as the bytes it came in. Invariant: nothing is copied, nothing recurses, and a text that passes is an object
//! that `jsonb` and `numeric` hold.

mod draft;
mod items;
mod lint;
mod pointer;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::domain::outcome::Fault;

pub use draft::{Draft, draft};
pub use items::{Items, elements, items};
pub use lint::{MAX_DEPTH, MAX_DIGITS, lint};

/// Why a text is not usable as JSON, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.reason)]
pub struct Malformed(pub Fault);

impl Malformed {
    fn new(pointer: impl Into<Cow<'static, str>>, rule: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self(Fault { pointer: pointer.into(), rule, reason: reason.into() })
    }
}

/// The bytes as the text of one JSON object, without a byte order mark.
fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    begins_with(bytes, b'{', ("object", "must be a JSON object"))
}

fn begins_with<'a>(bytes: &'a [u8], opening: u8, rule: (&'static str, &'static str)) -> Result<&'a str, Malformed> {
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(Malformed::new("", "bom", "must not begin with a byte order mark"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::new("", "utf8", "must be UTF-8"))?;
    match text.trim_ascii_start().as_bytes().first() {
        Some(first) if *first == opening => Ok(text),
        Some(_) => Err(Malformed::new("", rule.0, rule.1)),
        None => Err(Malformed::new("", "empty", "must not be empty")),
    }
}

/// The bytes as a linted text of one JSON object; its syntax is still to be parsed.
pub(super) fn clean(bytes: &[u8]) -> Result<&str, Malformed> {
    let text = text(bytes)?;
    lint(text)?;
    Ok(text)
}

/// The bytes as the text of one JSON object, linted; its syntax is still to be parsed.
///
/// # Errors
/// [`Malformed`].
pub fn object(bytes: &[u8]) -> Result<&str, Malformed> {
    clean(bytes)
}

/// What serde_json says about broken syntax: a place, never a piece of the text.
pub(super) fn syntax(error: &serde_json::Error) -> Malformed {
    let reason = if error.is_eof() {
        format!("ends too early, at line {} column {}", error.line(), error.column())
    } else {
        format!("is not valid JSON at line {} column {}", error.line(), error.column())
    };
    Malformed::new("", "syntax", reason)
}

/// The value as a text, if it is one.
#[inline]
pub fn as_text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inside = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}

/// The literal of a number, if it is one.
#[inline]
pub fn as_number(raw: &RawValue) -> Option<&str> {
    raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()).then(|| raw.get())
}

/// The texts of an array of nothing else, if it is one.
pub fn as_texts(raw: &RawValue) -> Option<Vec<Cow<'_, str>>> {
    #[derive(serde::Deserialize)]
    #[serde(transparent)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    let texts: Vec<Text<'_>> = serde_json::from_str(raw.get()).ok()?;
    Some(texts.into_iter().map(|Text(text)| text).collect())
}

/// The elements of an array, if it is one.
pub fn as_array(raw: &RawValue) -> Option<Vec<&RawValue>> {
    raw.get().starts_with('[').then(|| serde_json::from_str(raw.get()).ok()).flatten()
}

/// The bytes of an object, if it is one.
#[inline]
pub fn as_object(raw: &RawValue) -> Option<&str> {
    raw.get().starts_with('{').then(|| raw.get())
}

/// Whether a JSON text nests deeper than so many levels; a scalar is 0.
#[inline]
pub fn nests_deeper(json: &str, levels: usize) -> bool {
    // A text nests no deeper than it has opening brackets, those in its strings counted too: this much is known at a glance.
    json.bytes().map(|byte| usize::from(matches!(byte, b'{' | b'['))).sum::<usize>() > levels && depth(json) > levels
}

fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_that_of_containers_and_not_of_their_texts() {
        for (json, levels) in
            [("1", 0), ("{}", 1), ("{\"a\":[{}]}", 3), ("{\"a\":\"[[[[\\\"[\"}", 1), ("[[],[],[[]]]", 3)]
        {
            assert!(nests_deeper(json, levels.max(1) - 1) == (levels > 0), "{json}");
            assert!(!nests_deeper(json, levels), "{json}");
        }
    }

    #[test]
    fn texts_of_an_array_are_read_with_their_escapes() {
        let raw: &RawValue = serde_json::from_str(r#"["a","\u0062",""]"#).expect("JSON");
        assert_eq!(as_texts(raw), Some(vec!["a".into(), "b".into(), "".into()]));
        for other in ["[1]", "[\"a\",null]", "\"a\"", "{}", "null"] {
            assert_eq!(as_texts(serde_json::from_str(other).expect("JSON")), None, "{other}");
        }
    }
}
