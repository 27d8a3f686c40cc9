//! Keys and tokens for the tests of this folder: an issuer one can bend.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::config::{AuthConfig, Secret};
use crate::domain::time::Timestamp;

use super::Auth;
use super::keys::Keyring;
use super::refresh::{Pace, Refresher};
use super::source::Source;

pub(super) const SECRET: &str = "a shared secret of more than 32 bytes";

/// One key pair of an issuer.
pub(super) struct IssuerKey {
    pub kid: &'static str,
    pub algorithm: Algorithm,
    encoding: EncodingKey,
    /// The public key as it stands in a key set.
    pub jwk: Value,
    /// The public key as bytes, for those who would use it as a secret.
    pub public: Vec<u8>,
}

impl IssuerKey {
    pub(super) fn ed25519(kid: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate().expect("a key");
        let encoding = EncodingKey::from_ed_der(pair.to_pkcs8v1().expect("a document").as_ref());
        let public = pair.public_key().as_ref().to_vec();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": URL_SAFE_NO_PAD.encode(&public)});
        Self { kid, algorithm: Algorithm::EdDSA, encoding, jwk, public }
    }

    pub(super) fn p256(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let encoding = EncodingKey::from_ec_der(pair.to_pkcs8v1().expect("a document").as_ref());
        let public = pair.public_key().as_ref().to_vec();
        let half = |range| URL_SAFE_NO_PAD.encode(&public[range]);
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": half(1..33), "y": half(33..65)});
        Self { kid, algorithm: Algorithm::ES256, encoding, jwk, public }
    }

    pub(super) fn rsa(kid: &'static str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let document: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("a document");
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(document.as_ref()));
        let encoding = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("an RSA key");
        let public = pair.public_key();
        let (n, e) =
            (public.modulus().big_endian_without_leading_zero(), public.exponent().big_endian_without_leading_zero());
        let jwk = json!({
            "kty": "RSA", "kid": kid, "use": "sig", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e),
        });
        Self { kid, algorithm: Algorithm::RS256, encoding, jwk, public: public.as_ref().to_vec() }
    }

    /// A token of this key with sound header and claims, each changed by `header` and `claims` (null takes a field out).
    pub(super) fn token(&self, header: Value, claims: Value) -> String {
        let sound = json!({"typ": "JWT", "alg": format!("{:?}", self.algorithm), "kid": self.kid});
        self.sign(&changed(sound, header).to_string(), &changed(sound_claims(), claims).to_string())
    }

    /// A token of exactly these texts.
    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        signed(header, claims, &self.encoding, self.algorithm)
    }
}

/// A token of exactly these texts.
pub(super) fn signed(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = crypto::sign(message.as_bytes(), key, algorithm).expect("a signature");
    format!("{message}.{signature}")
}

/// A token signed with a shared secret.
pub(super) fn hs256(secret: &[u8], header: Value) -> String {
    let header = changed(json!({"typ": "JWT", "alg": "HS256"}), header).to_string();
    signed(&header, &sound_claims().to_string(), &EncodingKey::from_secret(secret), Algorithm::HS256)
}

pub(super) fn sound_claims() -> Value {
    let now = Timestamp::now().unix_seconds();
    json!({
        "iss": "weir-local", "aud": "weir", "account_id": "acme", "scope": "events:write", "iat": now, "exp": now + 600,
    })
}

fn changed(mut object: Value, changes: Value) -> Value {
    let map = object.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            map.remove(name)
        } else {
            map.insert(name.clone(), value.clone())
        };
    }
    object
}

/// Writes a key set of these keys.
pub(super) fn write_set(path: &Path, keys: &[&IssuerKey]) {
    let keys: Vec<_> = keys.iter().map(|key| &key.jwk).collect();
    std::fs::write(path, json!({ "keys": keys }).to_string()).expect("written");
}

pub(super) fn config() -> AuthConfig {
    AuthConfig {
        jwt_jwks: None,
        jwt_issuer: "weir-local".into(),
        jwt_audience: "weir".into(),
        jwt_hs256_secret: None,
        jwt_hs256_secret_file: None,
        jwt_leeway_seconds: 30,
        jwt_jwks_refresh_seconds: 300,
        jwt_cache_size: 1_000,
    }
}

/// A running verifier with its key set file; its tasks end when it is dropped.
pub(super) struct Running {
    pub auth: Auth,
    pub set: std::path::PathBuf,
    _home: tempfile::TempDir,
    _stop: DropGuard,
}

/// Starts a verifier over a key set file of these keys.
pub(super) async fn running(keys: &[&IssuerKey], secret: Option<&str>) -> Running {
    let home = tempfile::tempdir().expect("a directory");
    let set = home.path().join("jwks.json");
    write_set(&set, keys);
    let place = Some(set.display().to_string());
    let config = AuthConfig { jwt_jwks: place, jwt_hs256_secret: secret.map(Secret::new), ..config() };
    let stop = CancellationToken::new();
    let auth = Auth::start(&config, &TaskTracker::new(), &stop).await.expect("started");
    Running { auth, set, _home: home, _stop: stop.drop_guard() }
}

/// Starts a verifier over any place of a key set, at a pace fit for tests.
pub(super) async fn running_at(source: Source, set: std::path::PathBuf, pace: Pace) -> Running {
    super::keys::select_crypto_provider();
    let stop = CancellationToken::new();
    let keyring = Arc::new(Keyring::new(None, true));
    let refresher = Refresher::run(source, pace, &keyring, (&TaskTracker::new(), &stop)).await.expect("started");
    let auth = Auth::assemble(&config(), keyring, Some(refresher));
    Running { auth, set, _home: tempfile::tempdir().expect("a directory"), _stop: stop.drop_guard() }
}
