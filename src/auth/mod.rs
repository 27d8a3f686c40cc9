//! Who is calling: from the text of a bearer token to a [`Tenant`], before anything of the body is read. Invariant: a tenant
//! comes out only for a token whose signature, issuer, audience and times were checked against a key we hold; the algorithm is
//! the key's, never the header's word.
//!
//! The steps of [`Auth::verify`]: size → [`cache`] → [`token`] (three parts, header) → [`keys`] (which key, asking
//! [`refresh`] once for an unknown one) → signature → [`claims`] → [`cache`].

#[cfg(test)]
mod attacks;
mod cache;
mod claims;
#[cfg(test)]
mod fixture;
mod jwks;
mod keys;
mod metrics;
mod refresh;
#[cfg(test)]
mod rotation;
pub mod signing;
mod source;
mod token;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::AuthConfig;
use crate::domain::tenant::Tenant;
use crate::domain::time::Timestamp;

use cache::{Entry, Fingerprint, TokenCache};
use claims::Rules;
use keys::{Choice, Key, Keyring};
use refresh::Refresher;
pub use source::LoadError;
use token::Parts;

/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN_LEN: usize = 8 * 1024;

/// The public reasons of a refused token. They are few on purpose: a finer answer would help whoever forges tokens.
pub mod reason {
    /// No token came.
    pub const MISSING: &str = "missing";
    /// What came is not a token.
    pub const MALFORMED: &str = "malformed";
    /// Signature, key or a claim is wrong.
    pub const INVALID: &str = "invalid";
    /// Genuine, but its time is over.
    pub const EXPIRED: &str = "expired";
}

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The token does not convince; one of [`reason`]. Answer 401.
    #[error("token {0}")]
    Invalid(&'static str),
    /// The keys to judge it are not here yet. Answer 503.
    #[error("{0}")]
    KeysUnavailable(&'static str),
}

const KEYS_UNAVAILABLE: AuthError = AuthError::KeysUnavailable("the token keys are not loaded yet");

/// Why verification cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AuthStartError {
    /// The key set file is unusable.
    #[error("WEIR_JWT_JWKS: {path}")]
    KeySet {
        /// File named by the configuration.
        path: String,
        /// What is wrong with it.
        #[source]
        source: LoadError,
    },
    /// The client for the key set's URL cannot be made.
    #[error("WEIR_JWT_JWKS: no HTTPS client for {url}")]
    Client {
        /// URL named by the configuration.
        url: String,
        /// What the client said.
        #[source]
        source: LoadError,
    },
}

/// Turns tokens into tenants. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    shared: Arc<Shared>,
}

struct Shared {
    rules: Rules,
    keyring: Arc<Keyring>,
    refresher: Option<Refresher>,
    cache: TokenCache,
}

impl Auth {
    /// Loads the keys and keeps them fresh on `tasks` until `shutdown`. A key set at a URL is fetched in the background, so
    /// that a slow identity provider delays readiness ([`Auth::probe`]) and not the start.
    ///
    /// # Errors
    /// [`AuthStartError`] when the key set file is missing or unusable.
    pub async fn start(
        config: &AuthConfig,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, AuthStartError> {
        keys::select_crypto_provider();
        let keyring = Arc::new(Keyring::new(config.jwt_hs256_secret.as_ref(), config.jwt_jwks.is_some()));
        let refresher = match &config.jwt_jwks {
            Some(place) => Some(Refresher::start(place, config, &keyring, tasks, shutdown).await?),
            None => None,
        };
        Ok(Self::assemble(config, keyring, refresher))
    }

    fn assemble(config: &AuthConfig, keyring: Arc<Keyring>, refresher: Option<Refresher>) -> Self {
        let (rules, cache) = (Rules::from_config(config), TokenCache::new(config.jwt_cache_size));
        Self { shared: Arc::new(Shared { rules, keyring, refresher, cache }) }
    }

    /// The tenant of a token (the part behind `Bearer `). Known tokens cost one hash and one look-up; only a token with an
    /// unknown key id may wait for a refresh of the key set, two seconds at most.
    ///
    /// # Errors
    /// [`AuthError`] tells a token that does not convince from keys that are not loaded yet.
    pub async fn verify(&self, token: &str) -> Result<Arc<Tenant>, AuthError> {
        self.verify_at(token, Timestamp::now()).await
    }

    /// Whether tokens can be judged at all.
    ///
    /// # Errors
    /// A sentence for `/ready` while the key set is not loaded.
    pub fn probe(&self) -> Result<(), String> {
        if self.shared.keyring.loaded() { Ok(()) } else { Err(KEYS_UNAVAILABLE.to_string()) }
    }

    async fn verify_at(&self, token: &str, now: Timestamp) -> Result<Arc<Tenant>, AuthError> {
        let verdict = self.judge(token, now).await;
        metrics::judged(verdict.as_ref().map(|_| ()).map_err(|error| *error));
        verdict
    }

    async fn judge(&self, token: &str, now: Timestamp) -> Result<Arc<Tenant>, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Invalid(reason::MISSING));
        }
        if token.len() > MAX_TOKEN_LEN {
            return Err(AuthError::Invalid(reason::MALFORMED));
        }
        let fingerprint = Fingerprint::of(token);
        match self.shared.cache.get(&fingerprint, self.shared.keyring.generation(), now) {
            Some(Entry::Tenant(tenant)) => return Ok(tenant),
            Some(Entry::Forged) => return Err(AuthError::Invalid(reason::INVALID)),
            None => {}
        }
        let parts = Parts::split(token)?;
        // Read before the key is used: a key set that changes meanwhile must not let this verdict live on in the cache.
        let generation = self.shared.keyring.generation();
        let key = self.key_for(&parts).await?;
        if !key.signed(&parts) {
            self.shared.cache.put_forged(fingerprint, generation, now);
            return Err(AuthError::Invalid(reason::INVALID));
        }
        let tenant = Arc::new(claims::check(&parts.payload, &self.shared.rules, now)?);
        self.shared.cache.put_tenant(fingerprint, generation, &tenant, now);
        Ok(tenant)
    }

    async fn key_for(&self, parts: &Parts<'_>) -> Result<Arc<Key>, AuthError> {
        match self.shared.keyring.choose(&parts.header) {
            Choice::Key(key) => return Ok(key),
            Choice::Never => return Err(AuthError::Invalid(reason::INVALID)),
            Choice::NotLoaded => return Err(KEYS_UNAVAILABLE),
            Choice::Unknown => {}
        }
        // A key that was added a moment ago; the refresher bounds how often strangers can make us ask.
        if let Some(refresher) = &self.shared.refresher
            && refresher.look_again().await
            && let Choice::Key(key) = self.shared.keyring.choose(&parts.header)
        {
            return Ok(key);
        }
        Err(AuthError::Invalid(reason::INVALID))
    }
}
