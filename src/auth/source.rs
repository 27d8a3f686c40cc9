//! Where a key set is read from: a file or an https URL. Invariant: never more than 256 KiB and five seconds, never over plain
//! HTTP, never to a place a token or a redirect names.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use tokio::io::AsyncReadExt;

use super::jwks;
use super::keys::KeySet;

/// Most bytes of a key set.
const MAX_BYTES: usize = 256 * 1024;

/// How long one load may take.
const LOAD_DEADLINE: Duration = Duration::from_secs(5);

/// Why a key set was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    File(#[source] std::io::Error),
    /// The server did not answer well.
    #[error("the key set cannot be fetched")]
    Fetch(#[source] reqwest::Error),
    /// The server answered something other than 200.
    #[error("the key set's server answered with status {0}")]
    Status(u16),
    /// Nothing within five seconds.
    #[error("no key set within 5 s")]
    Deadline,
    /// More than 256 KiB.
    #[error("the key set is larger than 256 KiB")]
    TooLarge,
    /// Not JSON with a `keys` list.
    #[error("not a key set (RFC 7517): a JSON object with a list named keys is needed")]
    NotAKeySet(#[source] serde_json::Error),
    /// More keys than we keep.
    #[error("the key set holds {0} keys; 64 are allowed")]
    TooManyKeys(usize),
    /// Nothing left after the unusable keys were skipped.
    #[error("the key set holds no usable key")]
    NoUsableKey,
}

/// A place of a key set.
pub(super) enum Source {
    /// A file, watched for changes.
    File(PathBuf),
    /// An address of an identity provider.
    Url(Client, Url),
}

/// What tells one state of a file from the next without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Option<(u64, i64, i64)>);

impl Source {
    /// The place a configuration names.
    pub(super) fn parse(place: &str) -> Result<Self, LoadError> {
        match Url::parse(place) {
            Ok(url) if url.has_host() => {
                let client = Client::builder()
                    .https_only(true)
                    .redirect(Policy::none())
                    .timeout(LOAD_DEADLINE)
                    .build()
                    .map_err(LoadError::Fetch)?;
                Ok(Self::Url(client, url))
            }
            _ => Ok(Self::File(PathBuf::from(place))),
        }
    }

    /// Reads the key set as it is now.
    pub(super) async fn load(&self) -> Result<KeySet, LoadError> {
        let text = tokio::time::timeout(LOAD_DEADLINE, self.read()).await.map_err(|_| LoadError::Deadline)??;
        jwks::parse(&text)
    }

    /// State of the file; the same for ever for a URL.
    pub(super) async fn stamp(&self) -> Stamp {
        let Self::File(path) = self else { return Stamp(None) };
        // The change time, not the modification time: a file moved into place may bring an old one of the latter.
        let metadata = tokio::fs::metadata(path).await.ok();
        Stamp(metadata.map(|metadata| (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())))
    }

    async fn read(&self) -> Result<Vec<u8>, LoadError> {
        let mut text = Vec::new();
        match self {
            Self::File(path) => {
                let file = tokio::fs::File::open(path).await.map_err(LoadError::File)?;
                file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text).await.map_err(LoadError::File)?;
            }
            Self::Url(client, url) => {
                let ask = client.get(url.clone()).header("accept", "application/jwk-set+json, application/json");
                let mut answer = ask.send().await.map_err(|error| LoadError::Fetch(error.without_url()))?;
                // Also a redirect is no key set: what it leads to is not the place the operator named.
                if answer.status() != StatusCode::OK {
                    return Err(LoadError::Status(answer.status().as_u16()));
                }
                while let Some(chunk) = answer.chunk().await.map_err(LoadError::Fetch)? {
                    text.extend_from_slice(&chunk);
                    if text.len() > MAX_BYTES {
                        break;
                    }
                }
            }
        }
        if text.len() > MAX_BYTES { Err(LoadError::TooLarge) } else { Ok(text) }
    }
}
