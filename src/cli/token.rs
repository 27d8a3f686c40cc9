//! Local signing keys and tokens. Invariant: stdout carries the token and nothing else.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::auth::signing::{Claims, Signer, create_keys};
use crate::domain::id::AccountId;
use crate::domain::time::{SECOND, Timestamp};

/// What the token says and which key signs it.
#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// Account of the token
    #[arg(long, value_name = "ID")]
    account: AccountId,
    /// Scopes, space-separated
    #[arg(long, default_value = "events:write events:read metrics:read", value_name = "SCOPES")]
    scope: String,
    /// Role claim; `operator` opens the operator routes
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// Seconds until the token ends
    #[arg(long, default_value_t = 86_400, value_name = "S")]
    ttl_seconds: u32,
    /// Private key (PEM) that signs
    #[arg(long, env = "WEIR_JWT_SIGNING_KEY_FILE", default_value = ".weir/keys/signing.pem", value_name = "PATH")]
    signing_key_file: PathBuf,
    /// `iss` claim
    #[arg(long, env = "WEIR_JWT_ISSUER", default_value = "weir-local", value_name = "TEXT")]
    issuer: String,
    /// `aud` claim
    #[arg(long, env = "WEIR_JWT_AUDIENCE", default_value = "weir", value_name = "TEXT")]
    audience: String,
}

/// Where the keys go.
#[derive(Debug, clap::Args)]
pub(super) struct KeysArgs {
    /// Directory of signing.pem and jwks.json
    #[arg(long, default_value = ".weir/keys", value_name = "PATH")]
    dir: PathBuf,
}

pub(super) fn token(args: &TokenArgs) -> anyhow::Result<()> {
    let signer = Signer::from_pem_file(&args.signing_key_file, &args.issuer, &args.audience).with_context(|| {
        format!("{}: cannot read the signing key; `make up` creates one", args.signing_key_file.display())
    })?;
    let issued_at = Timestamp::now();
    let seconds = i64::from(args.ttl_seconds);
    let claims = Claims {
        account_id: args.account.clone(),
        scope: args.scope.clone(),
        role: args.role.clone(),
        issued_at,
        expires_at: issued_at.saturating_add_micros(seconds * SECOND),
    };
    super::serve::print(&signer.sign(&claims))
}

pub(super) fn keys(args: &KeysArgs) -> anyhow::Result<()> {
    create_keys(&args.dir).with_context(|| format!("{}: cannot create the keys", args.dir.display()))?;
    Ok(())
}
