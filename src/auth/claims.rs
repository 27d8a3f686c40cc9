//! Last step on a token: its claims, once the signature is known to be good. Invariant: times are whole non-negative numbers
//! that we can represent, and issuer, audience and expiry are always there; no claim is defaulted into letting someone in.

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::config::AuthConfig;
use crate::domain::id::AccountId;
use crate::domain::tenant::{Scopes, Tenant};
use crate::domain::time::{SECOND, Timestamp};

use super::{AuthError, reason, token};

/// What every token must say.
pub(super) struct Rules {
    issuer: String,
    audience: String,
    /// Clock difference forgiven, in microseconds.
    leeway: i64,
}

/// The claims we read; a claim that stands twice makes the token invalid, so that two readers cannot see two tokens.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Texts,
    #[serde(deserialize_with = "time")]
    exp: Timestamp,
    #[serde(default, deserialize_with = "optional_time")]
    nbf: Option<Timestamp>,
    #[serde(deserialize_with = "account")]
    account_id: AccountId,
    #[serde(default)]
    scope: Texts,
    #[serde(default)]
    role: Option<String>,
}

/// One text or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Default for Texts {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Texts {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

impl Rules {
    /// The rules of this deployment.
    pub(super) fn from_config(config: &AuthConfig) -> Self {
        // At most 60 s even where a configuration was built without its checks.
        let leeway = i64::try_from(config.jwt_leeway_seconds.min(60)).unwrap_or(0) * SECOND;
        Self { issuer: config.jwt_issuer.clone(), audience: config.jwt_audience.clone(), leeway }
    }
}

/// The tenant these claims speak of.
pub(super) fn check(payload: &[u8], rules: &Rules, now: Timestamp) -> Result<Tenant, AuthError> {
    let invalid = AuthError::Invalid(reason::INVALID);
    let claims: Claims = token::object(payload).ok_or(invalid)?;
    let ours = claims.iss == rules.issuer && claims.aud.as_slice().contains(&rules.audience);
    let begun = claims.nbf.is_none_or(|start| now >= start.saturating_add_micros(-rules.leeway));
    if !ours || !begun {
        return Err(invalid);
    }
    if now >= claims.exp.saturating_add_micros(rules.leeway) {
        return Err(AuthError::Invalid(reason::EXPIRED));
    }
    Ok(Tenant {
        account_id: claims.account_id,
        scopes: Scopes::parse(&claims.scope.as_slice().join(" ")),
        operator: claims.role.as_deref() == Some("operator"),
        expires_at: claims.exp,
    })
}

/// Whole seconds; serde refuses strings, floats, negatives and what does not fit, [`Timestamp`] years we cannot represent.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    let seconds = i64::try_from(seconds).map_err(D::Error::custom)?;
    Timestamp::from_unix_seconds(seconds).map_err(D::Error::custom)
}

fn optional_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    time(deserializer).map(Some)
}

fn account<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AccountId, D::Error> {
    AccountId::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::domain::tenant::Scope;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn check_json(payload: &str) -> Result<Tenant, AuthError> {
        let rules = Rules { issuer: "us".into(), audience: "weir".into(), leeway: 30 * SECOND };
        check(payload.as_bytes(), &rules, Timestamp::from_unix_seconds(NOW).expect("a time"))
    }

    /// Sound claims with some replaced; null takes a claim out.
    fn with(changes: Value) -> Result<Tenant, AuthError> {
        let mut claims = json!({
            "iss": "us", "aud": "weir", "exp": NOW + 60, "account_id": "acme", "scope": "events:write", "sub": {"a": [1]},
        });
        for (name, value) in changes.as_object().expect("an object") {
            let map = claims.as_object_mut().expect("an object");
            if value.is_null() {
                map.remove(name)
            } else {
                map.insert(name.clone(), value.clone())
            };
        }
        check_json(&claims.to_string())
    }

    const INVALID: AuthError = AuthError::Invalid(reason::INVALID);
    const EXPIRED: AuthError = AuthError::Invalid(reason::EXPIRED);

    #[test]
    fn a_sound_token_names_its_tenant() {
        let tenant = with(json!({"role": "operator", "aud": ["else", "weir"], "nbf": NOW})).expect("sound");
        assert_eq!(tenant.account_id.as_str(), "acme");
        assert!(tenant.operator && tenant.scopes.has(Scope::EventsWrite) && !tenant.scopes.has(Scope::EventsRead));
        assert_eq!(tenant.expires_at.unix_seconds(), NOW + 60);
        assert!(!with(json!({})).expect("sound").operator);
        let listed = with(json!({"scope": ["events:read", "dlq:read"]})).expect("a list is fine");
        assert!(listed.scopes.has(Scope::EventsRead) && listed.scopes.has(Scope::DlqRead));
        assert_eq!(with(json!({"scope": null})).expect("no scope allows nothing").scopes, Scopes::default());
    }

    #[test]
    fn each_required_claim_is_required_and_must_match() {
        for name in ["iss", "aud", "exp", "account_id"] {
            assert_eq!(with(json!({ name: null })), Err(INVALID), "{name} missing");
        }
        for changes in [
            json!({"iss": "them"}),
            json!({"iss": ["us"]}),
            json!({"iss": "US"}),
            json!({"aud": "weir2"}),
            json!({"aud": []}),
            json!({"aud": ["else"]}),
            json!({"aud": ["weir", 1]}),
            json!({"aud": {"weir": 1}}),
            json!({"account_id": ""}),
            json!({"account_id": "a b"}),
            json!({"account_id": 7}),
            json!({"account_id": "x".repeat(129)}),
            json!({"scope": 1}),
            json!({"role": ["operator"]}),
        ] {
            assert_eq!(with(changes.clone()), Err(INVALID), "{changes}");
        }
    }

    #[test]
    fn times_are_whole_numbers_we_can_represent() {
        let (int, float) = (format!("{}", NOW + 60), format!("{}.0", NOW + 60));
        for bad in
            ["\"1800000060\"", &float, "1.8e9", "-1", "9223372036854775808", "18446744073709551616", "1e400", "null"]
        {
            for (name, other) in [("exp", "nbf"), ("nbf", "exp")] {
                let other = if other == "exp" { int.clone() } else { NOW.to_string() };
                let (exp, nbf) = if name == "exp" { (bad, other.as_str()) } else { (other.as_str(), bad) };
                let claims = format!(r#"{{"iss":"us","aud":"weir","account_id":"a","exp":{exp},"nbf":{nbf}}}"#);
                assert_eq!(check_json(&claims), Err(INVALID), "{claims}");
            }
        }
        assert_eq!(with(json!({"exp": 9_223_372_036_854_775_807_i64})), Err(INVALID));
        assert_eq!(with(json!({"exp": 253_370_764_800_i64})), Err(INVALID), "year 9999");
    }

    #[test]
    fn leeway_is_forgiven_and_not_a_second_more() {
        assert!(with(json!({"exp": NOW - 29})).is_ok());
        assert_eq!(with(json!({"exp": NOW - 30})), Err(EXPIRED));
        assert_eq!(with(json!({"exp": 0})), Err(EXPIRED));
        assert!(with(json!({"nbf": NOW + 30})).is_ok());
        assert_eq!(with(json!({"nbf": NOW + 31})), Err(INVALID));
    }

    #[test]
    fn a_claim_that_stands_twice_is_refused() {
        let sound = format!(r#""iss":"us","aud":"weir","exp":{},"account_id":"acme","scope":"events:read""#, NOW + 60);
        assert!(check_json(&format!("{{{sound}}}")).is_ok());
        for twice in [r#""account_id":"other""#, r#""scope":"dlq:admin""#, r#""exp":9999999999"#, r#""\u0061ud":"x""#] {
            assert_eq!(check_json(&format!("{{{sound},{twice}}}")), Err(INVALID), "{twice}");
        }
    }

    #[test]
    fn what_is_not_an_object_is_invalid() {
        for payload in ["", "[]", "null", "7", "{", "{}{}", "\u{feff}{}"] {
            assert_eq!(check_json(payload), Err(INVALID), "{payload:?}");
        }
        assert_eq!(check_json(&"{\"a\":".repeat(3_000)), Err(INVALID), "nested without end");
    }
}
