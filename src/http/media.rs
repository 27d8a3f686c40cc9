//! What a body says it is. Invariant: one `Content-Type`, known to the operation, in UTF-8 if it says so, or the body is refused
//! before a byte of it is read.

use poem::http::{HeaderMap, HeaderName, HeaderValue, header};

/// A kind of body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// Our own JSON.
    Json,
    /// One event a line.
    Ndjson,
    /// One structured CloudEvent.
    CloudEvent,
    /// An array of CloudEvents.
    CloudEvents,
    /// JSON as a browser sends it without asking first.
    Text,
}

impl Media {
    /// Type and subtype.
    pub(super) fn essence(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::CloudEvent => "application/cloudevents+json",
            Self::CloudEvents => "application/cloudevents-batch+json",
            Self::Text => "text/plain",
        }
    }

    /// The one of `known` that the headers name.
    pub(super) fn of(headers: &HeaderMap, known: &[Self]) -> Option<Self> {
        let essence = essence(headers)?;
        known.iter().copied().find(|media| essence.eq_ignore_ascii_case(media.essence()))
    }
}

/// Type and subtype of the one `Content-Type`, unless it names another charset than UTF-8.
fn essence(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(Ok(value)), None) = (values.next().map(|value| value.to_str()), values.next()) else { return None };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let utf8 = |(name, value): (&str, &str)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    parts.filter_map(|parameter| parameter.split_once('=')).all(utf8).then_some(essence)
}

/// The `ce-` headers of a CloudEvent in binary mode, without that prefix; `None` when it is not one. A header that is no text
/// reads as empty and so breaks its rule.
pub(super) fn binary_attributes<'h>(headers: &'h HeaderMap) -> Option<Vec<(&'h str, &'h str)>> {
    let attribute = |(name, value): (&'h HeaderName, &'h HeaderValue)| {
        let name = name.as_str().strip_prefix("ce-")?;
        Some((name, std::str::from_utf8(value.as_bytes()).unwrap_or_default()))
    };
    headers.contains_key("ce-specversion").then(|| headers.iter().filter_map(attribute).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, value.parse().expect("value"));
        headers
    }

    #[test]
    fn json_in_utf8_is_the_only_json() {
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json; charset=\"utf-8\""] {
            assert_eq!(Media::of(&with(good), &[Media::Json]), Some(Media::Json), "{good}");
        }
        for bad in ["text/plain", "application/json; charset=utf-16", "application/jsonx", ""] {
            assert_eq!(Media::of(&with(bad), &[Media::Json]), None, "{bad}");
        }
        assert_eq!(Media::of(&HeaderMap::new(), &[Media::Json]), None);
    }

    #[test]
    fn binary_mode_is_known_by_its_version() {
        let mut headers = with("application/json");
        assert_eq!(binary_attributes(&headers), None);
        headers.insert("ce-specversion", "1.0".parse().expect("value"));
        headers.insert("ce-id", "é".parse().expect("value"));
        let mut attributes = binary_attributes(&headers).expect("binary");
        attributes.sort_unstable();
        assert_eq!(attributes, [("id", "é"), ("specversion", "1.0")]);
    }
}
