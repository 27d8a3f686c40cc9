//! First step on a token: its three parts and its header. Invariant: nothing the header says is trusted; it only names which
//! of our keys to try, and any part we do not know how to honour (`crit`) refuses the token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::{AuthError, reason};

/// A token taken apart.
pub(super) struct Parts<'a> {
    /// What the header says.
    pub header: Header,
    /// The bytes the signature covers: header and payload as they came.
    pub message: &'a str,
    /// Claims, decoded but not yet read.
    pub payload: Vec<u8>,
    /// Signature as it came.
    pub signature: &'a str,
}

/// Deepest nesting of claims.
const MAX_NESTING: usize = 32;

/// The fields of the header we read. `jku`, `jwk`, `x5u` and `x5c` are not among them: keys never come from a token.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    /// Claimed algorithm; must be the key's.
    pub alg: String,
    /// Name of the key.
    #[serde(default, deserialize_with = "text")]
    pub kid: Option<String>,
    #[serde(default, deserialize_with = "text")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

impl<'a> Parts<'a> {
    /// Splits and decodes a token.
    pub(super) fn split(token: &'a str) -> Result<Self, AuthError> {
        Self::try_split(token).ok_or(AuthError::Invalid(reason::MALFORMED))
    }

    fn try_split(token: &'a str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        if signature.is_empty() || payload.contains('.') {
            return None;
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).ok().filter(|payload| is_flat(payload))?;
        let header: Header = object(&URL_SAFE_NO_PAD.decode(header).ok()?)?;
        if !header.acceptable() {
            return None;
        }
        Some(Self { header, message, payload, signature })
    }
}

impl Header {
    /// RFC 7515 §4.1.11: a `crit` we do not understand refuses the token. RFC 8725 §3.11: the type keeps other kinds of JWT out.
    fn acceptable(&self) -> bool {
        let typ = self.typ.as_deref().map_or("jwt", |typ| typ.strip_prefix("application/").unwrap_or(typ));
        !self.crit && (typ.eq_ignore_ascii_case("jwt") || typ.eq_ignore_ascii_case("at+jwt"))
    }
}

/// Reads a JSON object; serde alone would also take a list of the fields in order.
pub(super) fn object<T: serde::de::DeserializeOwned>(text: &[u8]) -> Option<T> {
    if text.trim_ascii_start().first() == Some(&b'{') { serde_json::from_slice(text).ok() } else { None }
}

/// Whether claims nest no deeper than issuers nest them; what stands in strings may count, so no string needs to be found.
fn is_flat(payload: &[u8]) -> bool {
    let mut open = 0_usize;
    payload.iter().all(|byte| {
        match byte {
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        open <= MAX_NESTING
    })
}

/// A text that may be left out but may not be null.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// Whether a field is there, whatever it holds.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(header: &str) -> Result<(), AuthError> {
        Parts::split(&format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header))).map(|_| ())
    }

    #[test]
    fn the_type_is_absent_jwt_or_access_token() {
        for header in [
            r#"{"alg":"EdDSA"}"#,
            r#"{"alg":"EdDSA","typ":"JWT"}"#,
            r#"{"alg":"EdDSA","typ":"jwt"}"#,
            r#"{"alg":"EdDSA","typ":"AT+JWT"}"#,
            r#"{"alg":"EdDSA","typ":"application/at+jwt"}"#,
        ] {
            assert!(split(header).is_ok(), "{header}");
        }
    }

    #[test]
    fn headers_we_cannot_honour_are_malformed() {
        for header in [
            r#"{"alg":"EdDSA","typ":"dpop+jwt"}"#,
            r#"{"alg":"EdDSA","typ":"JOSE"}"#,
            r#"{"alg":"EdDSA","typ":null}"#,
            r#"{"alg":"EdDSA","crit":["exp"],"exp":1}"#,
            r#"{"alg":"EdDSA","crit":null}"#,
            r#"{"alg":"EdDSA","kid":7}"#,
            r#"{"alg":"EdDSA","alg":"none"}"#,
            r#"{"alg":"EdDSA","kid":"a","kid":"b"}"#,
            r#"{"typ":"JWT"}"#,
            r#"["EdDSA"]"#,
            "",
        ] {
            assert_eq!(split(header), Err(AuthError::Invalid(reason::MALFORMED)), "{header}");
        }
    }

    #[test]
    fn garbage_is_malformed() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#);
        for token in [
            String::new(),
            "...".into(),
            "a.b.c".into(),
            format!("{header}.e30"),
            format!("{header}.e30."),
            format!("{header}.e30.c2ln.c2ln"),
            format!("{header}=.e30.c2ln"),
            format!("{header}.e30=.c2ln"),
            format!("{header}.%%%.c2ln"),
            format!("{header}.{}.c2ln", URL_SAFE_NO_PAD.encode("[".repeat(33))),
            format!(" {header}.e30.c2ln"),
        ] {
            assert!(Parts::split(&token).is_err(), "{token:?}");
        }
    }
}
