//! Reading a key set (RFC 7517). Invariant: only public signature keys of the three asymmetric algorithms come out, each with
//! its one algorithm; a key we cannot use is skipped with a warning and never spoils its neighbours.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::keys::{Key, KeySet, algorithm};
use super::source::LoadError;

/// Most keys of a set.
pub(super) const MAX_KEYS: usize = 64;

/// Longest key id, in bytes.
const MAX_KID_LEN: usize = 256;

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a serde_json::value::RawValue>,
}

/// The members of a key we read. `d`, `p` and `k` are private or shared material that has no place in a key set.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

/// Reads a key set.
pub(super) fn parse(text: &[u8]) -> Result<KeySet, LoadError> {
    let document: Document<'_> = serde_json::from_slice(text).map_err(LoadError::NotAKeySet)?;
    if document.keys.len() > MAX_KEYS {
        return Err(LoadError::TooManyKeys(document.keys.len()));
    }
    let mut set = KeySet { digest: Sha256::digest(text).into(), ..KeySet::default() };
    for (index, raw) in document.keys.iter().enumerate() {
        if let Err(why) = add(&mut set, raw.get()) {
            tracing::warn!(key.index = index, why, "a key of the token key set is ignored");
        }
    }
    if set.len() == 0 { Err(LoadError::NoUsableKey) } else { Ok(set) }
}

fn add(set: &mut KeySet, raw: &str) -> Result<(), &'static str> {
    let jwk: Jwk = serde_json::from_str(raw).map_err(|_| "not a key (RFC 7517 §4)")?;
    let key = Arc::new(public_key(&jwk)?);
    match jwk.kid {
        None => set.unnamed.push(key),
        Some(kid) if kid.is_empty() || kid.len() > MAX_KID_LEN => return Err("kid must be 1 to 256 bytes"),
        Some(kid) if set.named.contains_key(&kid) => return Err("an earlier key has the same kid"),
        Some(kid) => {
            set.named.insert(kid, key);
        }
    }
    Ok(())
}

fn public_key(jwk: &Jwk) -> Result<Key, &'static str> {
    let (of_key, decoding) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (Algorithm::RS256, rsa(jwk)?),
        ("EC", Some("P-256")) => (Algorithm::ES256, p256(jwk)?),
        ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, DecodingKey::from_ed_der(&coordinate(jwk.x.as_deref())?)),
        ("oct", _) => return Err("a symmetric key must not be in a key set; use WEIR_JWT_HS256_SECRET"),
        _ => return Err("only RSA, EC P-256 and OKP Ed25519 keys are taken"),
    };
    if jwk.d.is_some() {
        return Err("it holds its private part: replace the key, it is compromised");
    }
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return Err("its use is not sig");
    }
    if jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
        return Err("its key_ops do not name verify");
    }
    if jwk.alg.as_deref().is_some_and(|name| algorithm(name) != Some(of_key)) {
        return Err("its alg is not RS256, ES256 or EdDSA, or does not fit the key");
    }
    Ok(Key::new(of_key, decoding))
}

fn rsa(jwk: &Jwk) -> Result<DecodingKey, &'static str> {
    let (n, e) = (bytes(jwk.n.as_deref())?, bytes(jwk.e.as_deref())?);
    let n = &n[n.iter().take_while(|byte| **byte == 0).count()..];
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err("an RSA key must have 2048 to 8192 bits");
    }
    Ok(DecodingKey::from_rsa_raw_components(n, &e))
}

/// The point uncompressed, as SEC 1 §2.3.3 writes it.
fn p256(jwk: &Jwk) -> Result<DecodingKey, &'static str> {
    let point = [&[4_u8][..], &coordinate(jwk.x.as_deref())?, &coordinate(jwk.y.as_deref())?].concat();
    Ok(DecodingKey::from_ec_der(&point))
}

fn coordinate(text: Option<&str>) -> Result<[u8; 32], &'static str> {
    bytes(text)?.try_into().map_err(|_| "a coordinate must have 32 bytes")
}

fn bytes(text: Option<&str>) -> Result<Vec<u8>, &'static str> {
    let text = text.ok_or("a member of the key is missing")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a member of the key is not base64url")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ed(kid: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": URL_SAFE_NO_PAD.encode([7; 32])})
    }

    fn count(keys: &[Value]) -> Result<usize, LoadError> {
        parse(json!({ "keys": keys }).to_string().as_bytes()).map(|set| set.len())
    }

    #[test]
    fn a_bad_key_is_skipped_and_its_neighbours_stay() {
        let with = |name: &str, value: Value| {
            let mut key = ed("bad");
            key[name] = value;
            key
        };
        let bad = [
            json!({"kty": "oct", "kid": "bad", "k": "c2VjcmV0"}),
            json!({"kty": "RSA", "kid": "bad", "n": URL_SAFE_NO_PAD.encode([0xff; 128]), "e": "AQAB"}),
            json!({"kty": "RSA", "kid": "bad", "n": "", "e": "AQAB"}),
            json!({"kty": "EC", "kid": "bad", "crv": "P-384", "x": "AA", "y": "AA"}),
            json!({"kty": "EC", "kid": "bad", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode([7; 32]), "y": "AA"}),
            json!({"kty": "future", "kid": "bad"}),
            json!("not a key"),
            with("d", json!("cHJpdmF0ZQ")),
            with("use", json!("enc")),
            with("key_ops", json!(["sign"])),
            with("alg", json!("HS256")),
            with("alg", json!("RS256")),
            with("alg", json!("none")),
            with("x", json!("AA")),
            with("x", json!("****")),
            with("kid", json!("")),
            with("kid", json!("k".repeat(257))),
            ed("good"),
        ];
        for key in bad {
            assert_eq!(count(&[ed("good"), key.clone()]).expect("the good key"), 1, "{key}");
            assert!(
                matches!(count(std::slice::from_ref(&key)), Err(LoadError::NoUsableKey)) || key == ed("good"),
                "{key}"
            );
        }
    }

    #[test]
    fn sets_are_bounded_and_must_be_sets() {
        let keys = |n: usize| (0..n).map(|i| ed(&i.to_string())).collect::<Vec<_>>();
        assert_eq!(count(&keys(64)).expect("64 keys"), 64);
        assert!(matches!(count(&keys(65)), Err(LoadError::TooManyKeys(65))));
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>"] {
            assert!(matches!(parse(text.as_bytes()), Err(LoadError::NotAKeySet(_))), "{text:?}");
        }
    }
}
