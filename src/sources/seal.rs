//! Secrets on their way into the database and out again (AES-256-GCM). Invariant: what is sealed for one source cannot be opened
//! for another, nor without the key, which the database never holds.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

use crate::config::Secret;

/// The key secrets are sealed with. Cheap to clone.
#[derive(Clone)]
pub(super) struct SealKey(Arc<LessSafeKey>);

/// A secret could not be sealed or opened: another key, another source, or changed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret cannot be sealed or opened with this WEIR_SEAL_KEY")]
pub struct SealError;

impl SealKey {
    /// A key made of a text that nobody can guess.
    pub(super) fn new(text: &Secret) -> Result<Self, SealError> {
        let key = Sha256::new_with_prefix(b"weir:seal:1").chain_update(text.expose()).finalize();
        UnboundKey::new(&AES_256_GCM, &key).map(|key| Self(Arc::new(LessSafeKey::new(key)))).map_err(|_| SealError)
    }

    pub(super) fn seal(&self, source: &str, secret: &Secret) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut text = secret.expose().as_bytes().to_vec();
        let bound = Aad::from(source.as_bytes());
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut text)
            .map_err(|_| SealError)?;
        Ok([&nonce[..], &text].concat())
    }

    pub(super) fn open(&self, source: &str, sealed: &[u8]) -> Result<Secret, SealError> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
        let mut text = text.to_vec();
        let open = self.0.open_in_place(nonce, Aad::from(source.as_bytes()), &mut text).map_err(|_| SealError)?;
        std::str::from_utf8(open).map(Secret::new).map_err(|_| SealError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_source_open_it() {
        let key = SealKey::new(&Secret::new("k".repeat(32))).expect("key");
        let other = SealKey::new(&Secret::new("o".repeat(32))).expect("key");
        let secret = Secret::new("hunter2-hunter2-hunter2");
        let sealed = key.seal("ring", &secret).expect("sealed");
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        assert_ne!(sealed, key.seal("ring", &secret).expect("sealed"), "each has its nonce");
        assert_eq!(key.open("ring", &sealed), Ok(secret));
        assert_eq!(key.open("bell", &sealed), Err(SealError));
        assert_eq!(other.open("ring", &sealed), Err(SealError));
        let mut bent = sealed.clone();
        bent[20] ^= 1;
        assert_eq!(key.open("ring", &bent), Err(SealError));
        assert_eq!(key.open("ring", &sealed[..5]), Err(SealError));
    }
}
