//! What rows are made of: requests as bytes, and tokens as forgers make them.

use std::net::SocketAddr;
use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use weir::domain::time::Timestamp;

use super::row::{Step, all};
use crate::harness::{TestApp, token};

/// Stands in every refused event; no answer may repeat it.
pub const SECRET: &str = "payload-not-to-be-echoed";

/// The app under attack and the keys of its issuer.
pub struct Kit {
    pub address: SocketAddr,
    /// A token with every scope of the account `acme`.
    pub token: String,
    signing: EncodingKey,
    kid: String,
    public: Vec<u8>,
}

impl Kit {
    pub fn of(app: &TestApp) -> Self {
        let jwks = app.config().auth.jwt_jwks.clone().expect("a key set");
        let set: Value = serde_json::from_slice(&std::fs::read(&jwks).expect("key set")).expect("JSON");
        let pem = std::fs::read(Path::new(&jwks).with_file_name("signing.pem")).expect("signing key");
        Self {
            address: app.url().trim_start_matches("http://").parse().expect("address"),
            token: token("acme", "events:write events:read metrics:read"),
            signing: EncodingKey::from_ed_pem(&pem).expect("Ed25519"),
            kid: set["keys"][0]["kid"].as_str().expect("kid").to_owned(),
            public: URL_SAFE_NO_PAD.decode(set["keys"][0]["x"].as_str().expect("x")).expect("base64"),
        }
    }

    /// `POST path` with these header lines and body, and nothing else but Host.
    pub fn request(&self, path: &str, headers: &str, body: &[u8]) -> Vec<Step> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        all([head.as_bytes(), body].concat())
    }

    /// `POST path` of JSON with the token.
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Vec<Step> {
        let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", self.token);
        self.request(path, &headers, body.as_ref())
    }

    /// `POST /v1/events` of these bytes.
    pub fn body(&self, body: impl AsRef<[u8]>) -> Vec<Step> {
        self.post("/v1/events", body)
    }

    /// `POST /v1/events` of an otherwise good event with these members.
    pub fn event(&self, members: &str) -> Vec<Step> {
        self.body(format!(r#"{{"event_name":"view","user_id":"{SECRET}",{members}}}"#))
    }

    /// `POST /v1/events` of a good event with this header line instead of the token's.
    pub fn authorized(&self, line: &str) -> Vec<Step> {
        let headers = format!("{line}content-type: application/json\r\n");
        self.request("/v1/events", &headers, br#"{"event_name":"view","user_id":"fine"}"#)
    }

    /// The same with this token.
    pub fn bearing(&self, token: &str) -> Vec<Step> {
        self.authorized(&format!("authorization: Bearer {token}\r\n"))
    }

    /// The beginning of a `POST /v1/events` with the token: everything but what frames the body.
    pub fn begun(&self) -> String {
        format!(
            "POST /v1/events HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n",
            self.token
        )
    }

    /// A token of the real issuer with header and claims changed; null takes a member out.
    pub fn signed(&self, header: Value, claims: Value) -> String {
        let message = self.message(header, claims);
        let signature = crypto::sign(message.as_bytes(), &self.signing, Algorithm::EdDSA).expect("signature");
        format!("{message}.{signature}")
    }

    /// A token signed by HMAC with the issuer's public key as the secret.
    pub fn confused(&self) -> String {
        let message = self.message(json!({"alg": "HS256"}), json!({}));
        let secret = EncodingKey::from_secret(&self.public);
        format!("{message}.{}", crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).expect("signature"))
    }

    /// A token signed by a key of the forger's own, which its header names as the one to check it with.
    pub fn forged(&self) -> String {
        let pair = Ed25519KeyPair::generate().expect("key");
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "x": x});
        let message = self.message(json!({ "jwk": jwk }), json!({}));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())))
    }

    /// A token with a claim that is this text, signed by the real issuer.
    pub fn nested(&self, claim: &str) -> String {
        let message = self.message(json!({}), json!({"nested": "here"}));
        let (header, claims) = message.split_once('.').expect("two parts");
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).expect("base64")).expect("text");
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.replace("\"here\"", claim)));
        let signature = crypto::sign(message.as_bytes(), &self.signing, Algorithm::EdDSA).expect("signature");
        format!("{message}.{signature}")
    }

    /// A token without a signature.
    pub fn unsigned(&self, alg: &str) -> String {
        format!("{}.", self.message(json!({ "alg": alg }), json!({})))
    }

    fn message(&self, header: Value, claims: Value) -> String {
        let now = Timestamp::now().unix_seconds();
        let sound = json!({"typ": "JWT", "alg": "EdDSA", "kid": self.kid});
        let rights = json!({
            "iss": "weir-test", "aud": "weir", "account_id": "acme", "scope": "events:write", "exp": now + 600,
        });
        [changed(sound, header), changed(rights, claims)].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".")
    }
}

fn changed(mut sound: Value, changes: Value) -> Value {
    let (Value::Object(sound_map), Value::Object(changes)) = (&mut sound, changes) else { panic!("objects") };
    for (name, value) in changes {
        if value.is_null() {
            sound_map.remove(&name)
        } else {
            sound_map.insert(name, value)
        };
    }
    sound
}
