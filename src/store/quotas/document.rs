//! A quota's parts as JSON in its column and in the audit. Invariant: what is read back is what was written; a part that this version
//! does not know is left out, so that an older instance follows a newer one as far as it can.

use serde::{Deserialize, Serialize};

use crate::domain::quota::{Limit, Mode, QuotaPatch};

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    limit: i64,
    mode: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Parts {
    #[serde(skip_serializing_if = "Option::is_none")]
    sustained: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrent: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    monthly: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank_minutes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<i64>,
}

/// The patch as JSON text.
pub(super) fn write(patch: &QuotaPatch) -> String {
    let part = |limit: Option<Limit>| limit.map(|Limit { limit, mode }| Part { limit, mode: mode.as_str().to_owned() });
    let parts = Parts {
        sustained: part(patch.sustained),
        burst: part(patch.burst),
        bytes: part(patch.bytes),
        concurrent: part(patch.concurrent),
        monthly: part(patch.monthly),
        bank_minutes: patch.bank_minutes,
        weight: patch.weight,
    };
    // Numbers and words only: this cannot fail.
    serde_json::to_string(&parts).unwrap_or_default()
}

/// The patch of a JSON text. One that cannot be read, or whose values are out of range, is as good as none: the account is then held to
/// what lies below, and the log says so.
pub(super) fn read(text: &str) -> QuotaPatch {
    let parts: Parts = match serde_json::from_str(text) {
        Ok(parts) => parts,
        Err(error) => {
            tracing::error!(%error, "a stored quota cannot be read; what lies below it holds");
            return QuotaPatch::default();
        }
    };
    let limit =
        |part: Option<Part>| part.and_then(|Part { limit, mode }| Mode::parse(&mode).map(|mode| Limit { limit, mode }));
    let patch = QuotaPatch {
        sustained: limit(parts.sustained),
        burst: limit(parts.burst),
        bytes: limit(parts.bytes),
        concurrent: limit(parts.concurrent),
        monthly: limit(parts.monthly),
        bank_minutes: parts.bank_minutes,
        weight: parts.weight,
    };
    patch.checked().unwrap_or_else(|error| {
        tracing::error!(%error, "a stored quota is out of range; what lies below it holds");
        QuotaPatch::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let patch = QuotaPatch {
            sustained: Some(Limit::enforced(0)),
            bytes: Some(Limit { limit: 5, mode: Mode::Shadow }),
            monthly: Some(Limit { limit: 7, mode: Mode::Off }),
            bank_minutes: Some(3),
            weight: Some(9),
            ..QuotaPatch::default()
        };
        assert_eq!(read(&write(&patch)), patch);
        assert_eq!(write(&QuotaPatch::default()), "{}");
        assert_eq!(read(r#"{"weight":2,"colour":"red","burst":{"limit":1,"mode":"dream"}}"#).weight, Some(2));
        for bad in ["", "[]", r#"{"weight":0}"#, r#"{"burst":{"limit":-1,"mode":"off"}}"#] {
            assert_eq!(read(bad), QuotaPatch::default(), "{bad}");
        }
    }
}
