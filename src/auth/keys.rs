//! Which key judges a token. Invariant: a key knows its one algorithm from the key set (RFC 8725 §3.1); a header that claims
//! another is refused, so a public key is never used as a shared secret and `none` is nobody's algorithm.

use std::collections::HashMap;
use std::sync::{Arc, Once};

use arc_swap::ArcSwapOption;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};

use crate::config::Secret;

use super::token::{Header, Parts};

/// A verification key and its algorithm.
pub(super) struct Key {
    algorithm: Algorithm,
    decoding: DecodingKey,
}

/// What a header leads to.
pub(super) enum Choice {
    /// This key, and no other.
    Key(Arc<Key>),
    /// No key id we know; a newer key set may know it.
    Unknown,
    /// No key set could make this token good.
    Never,
    /// There is no key set yet.
    NotLoaded,
}

/// A key set as it was loaded.
#[derive(Default)]
pub(super) struct KeySet {
    /// Keys by id.
    pub named: HashMap<String, Arc<Key>>,
    /// Keys without an id.
    pub unnamed: Vec<Arc<Key>>,
    /// Hash of the text the set was read from.
    pub digest: [u8; 32],
}

/// All keys in use now: the current key set and the shared secret.
pub(super) struct Keyring {
    current: ArcSwapOption<Loaded>,
    expects_set: bool,
    secret: Option<Arc<Key>>,
}

struct Loaded {
    set: KeySet,
    generation: u64,
}

/// Picks the crypto library of jsonwebtoken: it panics at the first token when features of other crates leave the choice open.
pub(super) fn select_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if crypto::aws_lc::DEFAULT_PROVIDER.install_default().is_err() {
            tracing::debug!("a crypto provider for tokens is already installed");
        }
    });
}

impl Key {
    /// A key for exactly one algorithm.
    pub(super) fn new(algorithm: Algorithm, decoding: DecodingKey) -> Self {
        Self { algorithm, decoding }
    }

    /// Whether this key made the signature.
    pub(super) fn signed(&self, parts: &Parts<'_>) -> bool {
        crypto::verify(parts.signature, parts.message.as_bytes(), &self.decoding, self.algorithm).unwrap_or(false)
    }

    fn if_claimed(self: &Arc<Self>, claimed: Algorithm) -> Choice {
        if self.algorithm == claimed { Choice::Key(Arc::clone(self)) } else { Choice::Never }
    }
}

impl KeySet {
    /// How many keys it holds.
    pub(super) fn len(&self) -> usize {
        self.named.len() + self.unnamed.len()
    }

    /// The key a token without a key id is checked with: one that has no name itself, where there is no other to mistake it for.
    fn nameless(&self) -> Option<&Arc<Key>> {
        if self.len() == 1 { self.unnamed.first() } else { None }
    }
}

impl Keyring {
    /// A ring without a key set; `expects_set` says that one will come.
    pub(super) fn new(secret: Option<&Secret>, expects_set: bool) -> Self {
        let secret = secret
            .map(|secret| Arc::new(Key::new(Algorithm::HS256, DecodingKey::from_secret(secret.expose().as_bytes()))));
        Self { current: ArcSwapOption::empty(), expects_set, secret }
    }

    /// Whether every key source has been read.
    pub(super) fn loaded(&self) -> bool {
        !self.expects_set || self.current.load().is_some()
    }

    /// Number of the key set in use; verdicts of another generation are void.
    pub(super) fn generation(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |loaded| loaded.generation)
    }

    /// Puts a key set in use; false when it is the one in use already. Called by one task only.
    pub(super) fn install(&self, set: KeySet) -> bool {
        let previous = self.current.load_full();
        if previous.as_ref().is_some_and(|loaded| loaded.set.digest == set.digest) {
            return false;
        }
        let generation = previous.map_or(1, |loaded| loaded.generation + 1);
        self.current.store(Some(Arc::new(Loaded { set, generation })));
        true
    }

    /// The key for a token with this header. A key id decides before anything else, so that a token cannot pick the shared
    /// secret for the id of a public key.
    pub(super) fn choose(&self, header: &Header) -> Choice {
        let Some(claimed) = algorithm(&header.alg) else { return Choice::Never };
        let loaded = self.current.load();
        let set = loaded.as_ref().map(|loaded| &loaded.set);
        if let (Some(kid), Some(set)) = (&header.kid, set)
            && let Some(key) = set.named.get(kid)
        {
            return key.if_claimed(claimed);
        }
        if claimed == Algorithm::HS256 {
            return self.secret.as_ref().map_or(Choice::Never, |secret| Choice::Key(Arc::clone(secret)));
        }
        match (&header.kid, set) {
            (_, None) if self.expects_set => Choice::NotLoaded,
            (_, None) => Choice::Never,
            (Some(_), Some(_)) => Choice::Unknown,
            (None, Some(set)) => set.nameless().map_or(Choice::Never, |key| key.if_claimed(claimed)),
        }
    }
}

/// The algorithms we take at all (RFC 8725 §3.2), by their exact names.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" => Some(Algorithm::EdDSA),
        "HS256" => Some(Algorithm::HS256),
        _ => None,
    }
}
