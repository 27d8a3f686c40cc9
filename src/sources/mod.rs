//! Providers that send us events in their own form: a signed delivery → [`signature`] → [`mapping`] → a batch of ours. Invariant:
//! the account is that of the source's row; nothing of a delivery is believed before its signature is.
//!
//! Operators keep the [`definition`]s; their secrets are sealed ([`seal`]) before they leave this process and never told again.

mod definition;
mod mapping;
mod seal;
mod signature;

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{OperatorConfig, Secret};
use crate::domain::id::AccountId;
use crate::domain::outcome::Fault;
use crate::domain::tenant::{Scope, Scopes, Tenant};
use crate::domain::time::Timestamp;
use crate::operators::{Document, Kept, Kind, Operators};

pub use definition::{Definition, Encoding, FIELDS, Rule, Signing};
pub use seal::SealError;
use seal::SealKey;
pub use signature::Claimed;

/// Most secrets of a source: the new one and the one before it.
pub const MAX_SECRETS: usize = 2;

/// Shortest and longest secret.
pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// Why a delivery is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// No such source, or no good signature; nobody is told which.
    #[error("the source or the signature is not known")]
    Unsigned,
    /// The sources are not known yet.
    #[error("sources cannot be looked up at the moment")]
    NotLoaded,
    /// The delivery is not what the definition says.
    #[error("the delivery cannot be read as the source is defined")]
    Malformed(Fault),
}

/// The sources this instance knows. Cheap to clone.
#[derive(Clone)]
pub struct Sources {
    known: Kept<HashMap<String, Arc<Source>>>,
    key: Option<SealKey>,
}

/// A source as it stands.
pub struct Source {
    account_id: AccountId,
    definition: Definition,
    secrets: Vec<Secret>,
}

impl Sources {
    /// Watches the sources until `stop`. Without a seal key none can be made or used.
    ///
    /// # Errors
    /// [`SealError`] when the key is unusable.
    pub fn start(
        operators: &Operators,
        config: &OperatorConfig,
        until: (&TaskTracker, &CancellationToken),
    ) -> Result<Self, SealError> {
        let key = config.seal_key.as_ref().map(SealKey::new).transpose()?;
        let opener = key.clone();
        let read = move |documents: Vec<Document>| {
            let opened = documents.iter().filter_map(|document| open(document, opener.as_ref()));
            opened.collect::<HashMap<_, _>>()
        };
        Ok(Self { known: Kept::start(operators, Kind::Source, config.poll(), read, until), key })
    }

    /// Seals secrets for a source; `None` without a seal key.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, source: &str, secrets: &[Secret]) -> Option<Result<Vec<Vec<u8>>, SealError>> {
        let key = self.key.as_ref()?;
        Some(secrets.iter().map(|secret| key.seal(source, secret)).collect())
    }

    /// The source and what the headers of a delivery claim, before its body is read.
    ///
    /// # Errors
    /// [`Undelivered::Unsigned`], [`Undelivered::NotLoaded`].
    pub fn claimed<'h>(
        &self,
        source: &str,
        header: impl Fn(&str) -> Option<&'h str>,
        now: Timestamp,
    ) -> Result<(Arc<Source>, Claimed), Undelivered> {
        let known = self.known.get().ok_or(Undelivered::NotLoaded)?;
        let source = known.get(source).ok_or(Undelivered::Unsigned)?;
        let claimed = source.definition.signature.claimed(header, now).ok_or(Undelivered::Unsigned)?;
        Ok((Arc::clone(source), claimed))
    }
}

impl Source {
    /// In whose name it delivers.
    pub fn tenant(&self, now: Timestamp) -> Tenant {
        let scopes = Scopes::parse(Scope::EventsWrite.as_str());
        Tenant { account_id: self.account_id.clone(), scopes, operator: false, expires_at: now }
    }

    /// A delivery as a batch of ours, once its signature is good.
    ///
    /// # Errors
    /// [`Undelivered::Unsigned`], [`Undelivered::Malformed`].
    pub fn batch(&self, claimed: &Claimed, body: &[u8]) -> Result<Vec<u8>, Undelivered> {
        if !claimed.holds(&self.definition.signature, &self.secrets, body) {
            return Err(Undelivered::Unsigned);
        }
        mapping::batch(&self.definition, claimed.signed_at(), body).map_err(Undelivered::Malformed)
    }
}

/// A source out of its row. One that cannot be read is left out: others must not suffer from it.
fn open(document: &Document, key: Option<&SealKey>) -> Option<(String, Arc<Source>)> {
    let name = &document.name;
    let failed = |why: &'static str| tracing::error!(source.name = name, why, "a source cannot be used");
    let definition: Definition =
        serde_json::from_str(&document.text).inspect_err(|_| failed("its definition is not of this version")).ok()?;
    let account_id = AccountId::new(&definition.account_id).inspect_err(|_| failed("it names no account")).ok()?;
    let Some(key) = key else {
        failed("WEIR_SEAL_KEY is not set");
        return None;
    };
    let secrets: Result<Vec<Secret>, SealError> = document.sealed.iter().map(|sealed| key.open(name, sealed)).collect();
    let secrets = secrets.inspect_err(|_| failed("its secrets were sealed with another WEIR_SEAL_KEY")).ok()?;
    Some((name.clone(), Arc::new(Source { account_id, definition, secrets })))
}
