//! Tokens of the accounts. Invariant: valid for the whole run, one an account, with the scopes the run needs and no more.

use std::path::{Path, PathBuf};

use anyhow::Context;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use weir::domain::time::Timestamp;

/// Seconds a token outlives its making: longer than any run.
const LIFETIME: i64 = 48 * 3_600;

/// What signs the tokens of a run.
#[derive(Debug, Clone)]
pub enum Key {
    /// A secret shared with the service.
    Secret(String),
    /// The development key of `make up`, an Ed25519 private key (PEM), and its id in the key set.
    Ed25519 {
        /// The PEM file.
        file: PathBuf,
        /// `kid` of the key set, when the set names one.
        kid: Option<String>,
    },
}

impl Key {
    /// The key that `weir keys` put into a directory.
    pub fn in_dir(dir: &Path) -> Self {
        Self::Ed25519 { file: dir.join("signing.pem"), kid: kid(&dir.join("jwks.json")) }
    }
}

/// The id of the first key of a key set, if it names one.
fn kid(jwks: &Path) -> Option<String> {
    let set: serde_json::Value = serde_json::from_slice(&std::fs::read(jwks).ok()?).ok()?;
    Some(set["keys"][0]["kid"].as_str()?.to_owned())
}

/// Signs tokens for one issuer and audience.
pub struct Signer {
    header: Header,
    key: EncodingKey,
    issuer: String,
    audience: String,
}

#[derive(serde::Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    account_id: &'a str,
    scope: &'a str,
    iat: i64,
    exp: i64,
}

impl Signer {
    /// Reads the key.
    ///
    /// # Errors
    /// When the file is missing or no Ed25519 key.
    pub fn new(key: &Key, issuer: &str, audience: &str) -> anyhow::Result<Self> {
        let (header, key) = match key {
            Key::Secret(secret) => (Header::new(Algorithm::HS256), EncodingKey::from_secret(secret.as_bytes())),
            Key::Ed25519 { file, kid } => {
                let pem = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
                let mut header = Header::new(Algorithm::EdDSA);
                header.kid.clone_from(kid);
                (header, EncodingKey::from_ed_pem(&pem).with_context(|| format!("the key in {}", file.display()))?)
            }
        };
        Ok(Self { header, key, issuer: issuer.to_owned(), audience: audience.to_owned() })
    }

    /// A token of one account.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn token(&self, account: &str) -> anyhow::Result<String> {
        self.scoped(account, "events:write events:read metrics:read")
    }

    /// A token of one account for those scopes only.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn scoped(&self, account: &str, scope: &str) -> anyhow::Result<String> {
        let now = Timestamp::now().unix_seconds();
        let (iss, aud) = (self.issuer.as_str(), self.audience.as_str());
        let claims = Claims { iss, aud, sub: account, account_id: account, scope, iat: now, exp: now + LIFETIME };
        jsonwebtoken::encode(&self.header, &claims, &self.key).context("signing a token")
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    #[test]
    fn a_token_names_its_account_and_outlives_a_soak() {
        let secret = "0123456789abcdef0123456789abcdef";
        let signer = Signer::new(&Key::Secret(secret.into()), "weir-local", "weir").expect("signer");
        let token = signer.token("acme").expect("token");
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&["weir"]);
        validation.set_issuer(&["weir-local"]);
        let key = DecodingKey::from_secret(secret.as_bytes());
        let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation).expect("valid").claims;
        assert_eq!(claims["account_id"], "acme");
        assert!(claims["exp"].as_i64() > Some(Timestamp::now().unix_seconds() + 24 * 3_600));
    }
}
