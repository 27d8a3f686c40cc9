//! Who may call: keys and claims. Invariant: with no key configured nobody gets in.
//!
//! `WEIR_JWT_JWKS`, `WEIR_JWT_ISSUER`, `WEIR_JWT_AUDIENCE`, `WEIR_JWT_HS256_SECRET` (or `_FILE`), `WEIR_JWT_LEEWAY_SECONDS`,
//! `WEIR_JWT_JWKS_REFRESH_SECONDS`, `WEIR_JWT_CACHE_SIZE`.

use std::path::PathBuf;

use super::secret::Secret;

/// Keys, required claims and caching of tokens.
#[derive(Debug, Clone, clap::Args)]
pub struct AuthConfig {
    /// Key set: a file path or an https URL (RFC 7517)
    #[arg(long, env = "WEIR_JWT_JWKS", value_name = "PATH|URL")]
    pub jwt_jwks: Option<String>,
    /// Required `iss` claim
    #[arg(long, env = "WEIR_JWT_ISSUER", default_value = "weir-local", value_name = "TEXT")]
    pub jwt_issuer: String,
    /// Required `aud` claim
    #[arg(long, env = "WEIR_JWT_AUDIENCE", default_value = "weir", value_name = "TEXT")]
    pub jwt_audience: String,
    /// Shared secret for HS256 tokens, at least 32 bytes; without it HS256 is refused
    #[arg(long, env = "WEIR_JWT_HS256_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub jwt_hs256_secret: Option<Secret>,
    /// File that holds the HS256 secret
    #[arg(long, env = "WEIR_JWT_HS256_SECRET_FILE", value_name = "PATH")]
    pub jwt_hs256_secret_file: Option<PathBuf>,
    /// Clock difference forgiven on `exp` and `nbf`, at most 60 seconds
    #[arg(long, env = "WEIR_JWT_LEEWAY_SECONDS", default_value_t = 30, value_name = "S")]
    pub jwt_leeway_seconds: u64,
    /// Seconds between refreshes of the key set
    #[arg(long, env = "WEIR_JWT_JWKS_REFRESH_SECONDS", default_value_t = 300, value_name = "S")]
    pub jwt_jwks_refresh_seconds: u64,
    /// Most verified tokens kept
    #[arg(long, env = "WEIR_JWT_CACHE_SIZE", default_value_t = 100_000, value_name = "N")]
    pub jwt_cache_size: u64,
}

impl AuthConfig {
    pub(super) fn resolve(&mut self, mistakes: &mut Vec<String>) {
        match Secret::resolve(
            "WEIR_JWT_HS256_SECRET",
            self.jwt_hs256_secret.as_ref(),
            self.jwt_hs256_secret_file.take().as_deref(),
        ) {
            Ok(secret) => self.jwt_hs256_secret = secret,
            Err(mistake) => mistakes.push(mistake),
        }
        // RFC 7518 §3.2: a key of the size of the hash output or larger must be used.
        if self.jwt_hs256_secret.as_ref().is_some_and(|secret| secret.expose().len() < 32) {
            mistakes.push("WEIR_JWT_HS256_SECRET must be at least 32 bytes".into());
        }
        if self.jwt_leeway_seconds > 60 {
            mistakes.push("WEIR_JWT_LEEWAY_SECONDS must be at most 60".into());
        }
        if !(1..=86_400).contains(&self.jwt_jwks_refresh_seconds) {
            mistakes.push("WEIR_JWT_JWKS_REFRESH_SECONDS must be 1 to 86400".into());
        }
        if let Some(source) = &self.jwt_jwks
            && source.to_ascii_lowercase().starts_with("http:")
        {
            mistakes.push("WEIR_JWT_JWKS must be a file or an https URL".into());
        }
    }

    pub(super) fn check_serving(&self, mistakes: &mut Vec<String>) {
        if self.jwt_jwks.is_none() && self.jwt_hs256_secret.is_none() {
            mistakes.push("WEIR_JWT_JWKS or WEIR_JWT_HS256_SECRET must be set: without a key nobody can call".into());
        }
    }
}
