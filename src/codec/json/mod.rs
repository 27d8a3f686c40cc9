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
pub fn as_text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inside = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}

/// The literal of a number, if it is one.
pub fn as_number(raw: &RawValue) -> Option<&str> {
    raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()).then(|| raw.get())
}

/// The elements of an array, if it is one.
pub fn as_array(raw: &RawValue) -> Option<Vec<&RawValue>> {
    raw.get().starts_with('[').then(|| serde_json::from_str(raw.get()).ok()).flatten()
}

/// The bytes of an object, if it is one.
pub fn as_object(raw: &RawValue) -> Option<&str> {
    raw.get().starts_with('{').then(|| raw.get())
}

/// How deep a JSON text nests; a scalar is 0.
pub fn depth(json: &str) -> usize {
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
