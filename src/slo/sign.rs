//! Reports that can be handed on: signed as a detached JWS (RFC 7515, appendix F) with Ed25519. Invariant: what is signed are the
//! very bytes of the body, so whoever has both can check them without asking us again.

use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Why a key is not usable.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("WEIR_SLO_SIGNING_KEY_FILE cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// It holds something else.
    #[error("WEIR_SLO_SIGNING_KEY_FILE is not an Ed25519 private key in PEM (PKCS #8)")]
    NotAKey,
}

/// Signs reports.
pub struct ReportSigner {
    pair: Ed25519KeyPair,
    key_id: String,
}

impl ReportSigner {
    /// Reads the key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem_file(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path).map_err(KeyError::Unreadable)?;
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let document = STANDARD.decode(body.trim()).map_err(|_| KeyError::NotAKey)?;
        let pair = Ed25519KeyPair::from_pkcs8(&document).map_err(|_| KeyError::NotAKey)?;
        let thumbprint = json!({"crv": "Ed25519", "kty": "OKP", "x": URL_SAFE_NO_PAD.encode(pair.public_key())});
        let key_id = URL_SAFE_NO_PAD.encode(Sha256::digest(thumbprint.to_string()));
        Ok(Self { pair, key_id })
    }

    /// The detached signature of a body: `header..signature`.
    pub fn sign(&self, body: &[u8]) -> String {
        let header = json!({"alg": "EdDSA", "kid": self.key_id, "typ": "weir-report"});
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(body));
        format!("{header}..{}", URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes())))
    }

    /// Name of the key: its thumbprint (RFC 7638).
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The public key, base64url.
    pub fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key())
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_stranger_can_check_the_signature_with_the_public_key_alone() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("key.pem");
        let document = Ed25519KeyPair::generate().expect("key").to_pkcs8v1().expect("document");
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(document.as_ref()));
        std::fs::write(&path, pem).expect("write");
        let signer = ReportSigner::from_pem_file(&path).expect("signer");

        let signature = signer.sign(b"{\"a\":1}");
        let (header, rest) = signature.split_once("..").expect("detached");
        let x = signer.public_key();
        let key = UnparsedPublicKey::new(&ED25519, URL_SAFE_NO_PAD.decode(x).expect("base64"));
        let check = |body: &[u8]| {
            let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(body));
            key.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(rest).expect("base64"))
        };
        assert!(check(b"{\"a\":1}").is_ok() && check(b"{\"a\":2}").is_err());
        std::fs::write(&path, "nonsense").expect("write");
        assert!(ReportSigner::from_pem_file(&path).is_err());
    }
}
