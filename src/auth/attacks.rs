//! What strangers try on tokens, with the exact answer each gets; the table is that of the security list.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::domain::time::Timestamp;

use super::fixture::{IssuerKey, SECRET, hs256, running, sound_claims};
use super::{Auth, AuthError, reason};

const INVALID: AuthError = AuthError::Invalid(reason::INVALID);
const MALFORMED: AuthError = AuthError::Invalid(reason::MALFORMED);
const EXPIRED: AuthError = AuthError::Invalid(reason::EXPIRED);

async fn refusal(auth: &Auth, token: &str) -> AuthError {
    auth.verify(token).await.expect_err("must be refused")
}

#[tokio::test]
async fn each_algorithm_of_the_key_set_lets_its_own_tokens_in() {
    for key in [IssuerKey::rsa("k"), IssuerKey::p256("k"), IssuerKey::ed25519("k")] {
        let running = running(&[&key, &IssuerKey::ed25519("other")], None).await;
        let token = key.token(json!({}), json!({}));
        let tenant = running.auth.verify(&token).await.expect("a sound token");
        assert_eq!(tenant.account_id.as_str(), "acme", "{:?}", key.algorithm);
        let again = running.auth.verify(&token).await.expect("a known token");
        assert!(std::sync::Arc::ptr_eq(&tenant, &again), "the second time comes from the cache");
    }
}

#[tokio::test]
async fn no_header_talks_a_key_into_another_algorithm() {
    let (rsa, ed) = (IssuerKey::rsa("rsa"), IssuerKey::ed25519("ed"));
    for secret in [None, Some(SECRET)] {
        let running = running(&[&rsa, &ed], secret).await;
        let auth = &running.auth;
        let payload = URL_SAFE_NO_PAD.encode(sound_claims().to_string());
        for alg in ["none", "None", "nOnE", ""] {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "kid": "rsa"}).to_string());
            assert_eq!(refusal(auth, &format!("{header}.{payload}.")).await, MALFORMED, "{alg}");
            assert_eq!(refusal(auth, &format!("{header}.{payload}.AAAA")).await, INVALID, "{alg}");
        }
        for key in [&rsa, &ed] {
            let pem = format!("-----BEGIN PUBLIC KEY-----\n{}", URL_SAFE_NO_PAD.encode(&key.public));
            for secret in [key.public.as_slice(), pem.as_bytes(), key.jwk.to_string().as_bytes(), b""] {
                assert_eq!(refusal(auth, &hs256(secret, json!({"kid": key.kid}))).await, INVALID);
                assert_eq!(refusal(auth, &hs256(secret, json!({}))).await, INVALID);
            }
            for alg in ["RS384", "RS512", "PS256", "ES384", "HS512", "ES256", "rs256", "EdDSA ", "HS256"] {
                assert_eq!(refusal(auth, &key.token(json!({ "alg": alg }), json!({}))).await, INVALID, "{alg}");
            }
        }
        let swapped = ed.token(json!({"kid": "rsa"}), json!({}));
        assert_eq!(refusal(auth, &swapped).await, INVALID, "a key signs for its own id only");
    }
}

#[tokio::test]
async fn the_shared_secret_counts_only_where_configured_and_never_for_a_public_keys_id() {
    let ed = IssuerKey::ed25519("ed");
    let with = running(&[&ed], Some(SECRET)).await;
    assert!(with.auth.verify(&hs256(SECRET.as_bytes(), json!({}))).await.is_ok());
    assert!(with.auth.verify(&hs256(SECRET.as_bytes(), json!({"kid": "hs"}))).await.is_ok());
    assert_eq!(refusal(&with.auth, &hs256(SECRET.as_bytes(), json!({"kid": "ed"}))).await, INVALID);
    assert_eq!(refusal(&with.auth, &hs256(b"another secret", json!({}))).await, INVALID);
    let without = running(&[&ed], None).await;
    assert_eq!(refusal(&without.auth, &hs256(SECRET.as_bytes(), json!({}))).await, INVALID);
}

#[tokio::test]
async fn keys_never_come_from_the_token() {
    let (ours, theirs) = (IssuerKey::ed25519("ours"), IssuerKey::ed25519("theirs"));
    let running = running(&[&ours, &IssuerKey::p256("more")], None).await;
    let long = "k".repeat(5_000);
    for kid in
        ["theirs", "../../etc/passwd", "/dev/null", "http://127.0.0.1:1/jwks", "ours\0", "", "' or 1=1 --", &long]
    {
        assert_eq!(refusal(&running.auth, &theirs.token(json!({ "kid": kid }), json!({}))).await, INVALID, "{kid:.20}");
    }
    for header in [
        json!({"jwk": theirs.jwk}),
        json!({"jwk": theirs.jwk, "kid": "ours"}),
        json!({"jku": "http://127.0.0.1:1/jwks.json"}),
        json!({"x5u": "http://127.0.0.1:1/cert.pem", "x5c": ["AAAA"], "kid": null}),
        json!({"kid": null}),
        json!({"kid": "ours"}),
    ] {
        assert_eq!(refusal(&running.auth, &theirs.token(header.clone(), json!({}))).await, INVALID, "{header}");
    }
    assert_eq!(refusal(&running.auth, &ours.token(json!({"crit": ["b64"], "b64": false}), json!({}))).await, MALFORMED);
}

#[tokio::test]
async fn a_missing_key_id_means_the_only_key_if_that_has_no_id_either() {
    let (mut one, two) = (IssuerKey::ed25519("one"), IssuerKey::ed25519("two"));
    let named = running(&[&one], None).await;
    assert_eq!(refusal(&named.auth, &one.token(json!({"kid": null}), json!({}))).await, INVALID);
    one.jwk.as_object_mut().expect("an object").remove("kid");
    let alone = running(&[&one], None).await;
    assert!(alone.auth.verify(&one.token(json!({"kid": null}), json!({}))).await.is_ok());
    let both = running(&[&one, &two], None).await;
    assert_eq!(refusal(&both.auth, &one.token(json!({"kid": null}), json!({}))).await, INVALID);
}

#[tokio::test]
async fn claims_and_type_are_checked_behind_a_good_signature() {
    let key = IssuerKey::ed25519("k");
    let running = running(&[&key], None).await;
    let now = Timestamp::now().unix_seconds();
    for (claims, expected) in [
        (json!({"exp": null}), INVALID),
        (json!({"aud": null}), INVALID),
        (json!({"iss": null}), INVALID),
        (json!({"iss": "else"}), INVALID),
        (json!({"aud": ["else"]}), INVALID),
        (json!({"exp": (now + 600).to_string()}), INVALID),
        (json!({"exp": 1.8e9}), INVALID),
        (json!({"exp": -1}), INVALID),
        (json!({"exp": 9_223_372_036_854_775_808_u64}), INVALID),
        (json!({"nbf": now.to_string()}), INVALID),
        (json!({"nbf": now + 35}), INVALID),
        (json!({"exp": now - 31}), EXPIRED),
    ] {
        assert_eq!(refusal(&running.auth, &key.token(json!({}), claims.clone())).await, expected, "{claims}");
    }
    assert_eq!(refusal(&running.auth, &key.token(json!({"typ": "id+jwt"}), json!({}))).await, MALFORMED);
    let twice = sound_claims().to_string().replacen('{', r#"{"account_id":"victim","#, 1);
    assert_eq!(refusal(&running.auth, &key.sign(r#"{"alg":"EdDSA","kid":"k"}"#, &twice)).await, INVALID);
}

#[tokio::test]
async fn an_empty_or_long_token_is_refused_unread() {
    let key = IssuerKey::ed25519("k");
    let running = running(&[&key], None).await;
    assert_eq!(refusal(&running.auth, "").await, AuthError::Invalid(reason::MISSING));
    assert_eq!(refusal(&running.auth, &key.token(json!({}), json!({"pad": "x".repeat(7_000)}))).await, MALFORMED);
    assert!(running.auth.verify(&key.token(json!({}), json!({"pad": "x".repeat(5_000)}))).await.is_ok());
    assert_eq!(refusal(&running.auth, &"A".repeat(3_000_000)).await, MALFORMED);
}

#[tokio::test]
async fn a_changed_byte_anywhere_is_refused() {
    let key = IssuerKey::p256("k");
    let running = running(&[&key], None).await;
    let token = key.token(json!({}), json!({}));
    for at in (0..token.len()).step_by(7) {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'B' { b'C' } else { b'B' };
        let bent = String::from_utf8(bytes).expect("ASCII");
        assert!(running.auth.verify(&bent).await.is_err(), "byte {at}");
    }
    assert!(running.auth.verify(&token).await.is_ok(), "bent neighbours do not spoil the genuine one");
}
