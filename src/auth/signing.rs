//! Making tokens, for `weir token` and tests; the service itself never signs. Invariant: the private key is readable by its
//! owner only and is never replaced once it exists.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// Why no token can be made.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not the kind of key we use.
    #[error("{}: not an Ed25519 private key in PEM (PKCS #8); make one with `weir token` or `openssl genpkey -algorithm ed25519`", .0.display())]
    NotAKey(PathBuf),
    /// Key and key set are not of one making.
    #[error("{}: does not hold the key of signing.pem; remove it and run this again", .0.display())]
    OtherKeySet(PathBuf),
    /// The crypto library refused.
    #[error("no key can be generated")]
    Generate,
}

/// What a token shall say beside issuer and audience.
#[derive(Debug, Clone)]
pub struct Claims {
    /// Account it speaks for.
    pub account_id: AccountId,
    /// Scopes, separated by spaces.
    pub scope: String,
    /// `operator`, or nothing for a tenant.
    pub role: Option<String>,
    /// When it begins.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Signs tokens with one Ed25519 key.
pub struct Signer {
    pair: Ed25519KeyPair,
    kid: String,
    issuer: String,
    audience: String,
}

/// The files [`create_keys`] made or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    /// Private key (PEM, PKCS #8).
    pub signing: PathBuf,
    /// Key set for `WEIR_JWT_JWKS`.
    pub jwks: PathBuf,
}

impl Signer {
    /// Reads an Ed25519 key (PEM, PKCS #8).
    ///
    /// # Errors
    /// [`SigningError`] when the file cannot be read or holds something else.
    pub fn from_pem_file(path: &Path, issuer: &str, audience: &str) -> Result<Self, SigningError> {
        let pair = read_pair(path)?;
        let kid = thumbprint(&pair);
        Ok(Self { pair, kid, issuer: issuer.to_owned(), audience: audience.to_owned() })
    }

    /// The token of these claims.
    pub fn sign(&self, claims: &Claims) -> String {
        let mut payload = json!({
            "iss": self.issuer,
            "aud": self.audience,
            "sub": claims.account_id.as_str(),
            "account_id": claims.account_id.as_str(),
            "scope": claims.scope,
            "iat": claims.issued_at.unix_seconds(),
            "exp": claims.expires_at.unix_seconds(),
        });
        if let Some(role) = &claims.role {
            payload["role"] = role.as_str().into();
        }
        let header = json!({"typ": "JWT", "alg": "EdDSA", "kid": self.kid});
        let message = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// Makes `signing.pem` (mode 0600) and `jwks.json` in `dir` (mode 0700) where they are absent; what is there stays, also when
/// several processes do this at once.
///
/// # Errors
/// [`SigningError`] when a file cannot be written, or the files found are not of one making.
pub fn create_keys(dir: &Path) -> Result<KeyFiles, SigningError> {
    let files = KeyFiles { signing: dir.join("signing.pem"), jwks: dir.join("jwks.json") };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| SigningError::File { path: dir.to_owned(), source })?;
    if !files.signing.exists() {
        let pair = Ed25519KeyPair::generate().map_err(|_| SigningError::Generate)?;
        let document = pair.to_pkcs8v1().map_err(|_| SigningError::Generate)?;
        let pem = format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode(document.as_ref()));
        place(&files.signing, pem.as_bytes(), 0o600)?;
    }
    let pair = read_pair(&files.signing)?;
    let kid = thumbprint(&pair);
    if !files.jwks.exists() {
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let key = json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x});
        place(&files.jwks, format!("{:#}\n", json!({ "keys": [key] })).as_bytes(), 0o644)?;
    }
    if read(&files.jwks)?.contains(&kid) { Ok(files) } else { Err(SigningError::OtherKeySet(files.jwks)) }
}

/// Writes a whole file or none; leaves alone what another process put there meanwhile.
fn place(path: &Path, content: &[u8], mode: u32) -> Result<(), SigningError> {
    let draft = path.with_extension(format!("{}.draft", uuid::Uuid::new_v4().simple()));
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft).and_then(|mut file: File| {
        file.write_all(content)?;
        file.sync_all()
    });
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    let removed = std::fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => removed,
        Err(error) => Err(error),
        Ok(()) => removed,
    }
    .map_err(|source| SigningError::File { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<String, SigningError> {
    std::fs::read_to_string(path).map_err(|source| SigningError::File { path: path.to_owned(), source })
}

fn read_pair(path: &Path) -> Result<Ed25519KeyPair, SigningError> {
    let text = read(path)?;
    let body = text.trim().strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END));
    let body: Option<String> = body.map(|body| body.split_ascii_whitespace().collect());
    body.and_then(|body| STANDARD.decode(body).ok())
        .and_then(|document| Ed25519KeyPair::from_pkcs8(&document).ok())
        .ok_or_else(|| SigningError::NotAKey(path.to_owned()))
}

/// Key id by RFC 7638 over the members RFC 8037 §2 requires, in their order.
fn thumbprint(pair: &Ed25519KeyPair) -> String {
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use crate::auth::{Auth, fixture};
    use crate::domain::tenant::Scope;
    use crate::domain::time::SECOND;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_made_once_and_kept_private() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = home.path().join("keys");
        let files = create_keys(&dir).expect("made");
        assert_eq!((mode(&dir), mode(&files.signing)), (0o700, 0o600));
        let before = (read(&files.signing).expect("pem"), read(&files.jwks).expect("jwks"));
        assert_eq!(create_keys(&dir).expect("found"), files);
        assert_eq!((read(&files.signing).expect("pem"), read(&files.jwks).expect("jwks")), before);
        assert_eq!(std::fs::read_dir(&dir).expect("listed").count(), 2, "no draft is left");
    }

    #[tokio::test]
    async fn tokens_of_these_keys_are_let_in() {
        let home = tempfile::tempdir().expect("a directory");
        let files = create_keys(home.path()).expect("made");
        let signer = Signer::from_pem_file(&files.signing, "weir-local", "weir").expect("a signer");
        let now = Timestamp::now();
        let claims = Claims {
            account_id: AccountId::new("acme").expect("an id"),
            scope: "events:write quotas:admin".into(),
            role: Some("operator".into()),
            issued_at: now,
            expires_at: now.saturating_add_micros(60 * SECOND),
        };
        let place = Some(files.jwks.display().to_string());
        let config = crate::config::AuthConfig { jwt_jwks: place, ..fixture::config() };
        let auth = Auth::start(&config, &Default::default(), &Default::default()).await.expect("started");
        let tenant = auth.verify(&signer.sign(&claims)).await.expect("let in");
        assert_eq!(tenant.account_id, claims.account_id);
        assert!(tenant.operator && tenant.scopes.has(Scope::QuotasAdmin));
    }

    #[test]
    fn many_makers_at_once_agree_on_one_key() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = home.path().join("keys");
        std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| create_keys(&dir))).collect();
            for maker in makers {
                maker.join().expect("no panic").expect("one key for all");
            }
        });
    }

    #[test]
    fn a_key_set_of_another_key_is_named() {
        let home = tempfile::tempdir().expect("a directory");
        let files = create_keys(home.path()).expect("made");
        std::fs::write(&files.jwks, r#"{"keys":[]}"#).expect("written");
        assert!(matches!(create_keys(home.path()), Err(SigningError::OtherKeySet(_))));
        std::fs::write(&files.signing, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")
            .expect("written");
        assert!(matches!(create_keys(home.path()), Err(SigningError::NotAKey(_))));
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        // RFC 8037 appendix A.1 and A.3.
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").expect("base64url");
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed");
        assert_eq!(thumbprint(&pair), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
