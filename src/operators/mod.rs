//! What operators decide at run time: documents of a kind, changed under a condition and watched by every instance. Invariant: an
//! instance that has seen a kind once keeps its last copy while Postgres is away, and sees a change within the poll time else.

mod kept;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::store::{ApiStore, OperatorStore, ReadError};

pub use crate::store::{Author, Change, Changed, Document, Kind, MAX_DOCUMENTS};
pub use kept::Kept;

/// Most documents of a page.
pub const MAX_PAGE: u16 = 250;

/// Most characters of a document's name.
pub const MAX_NAME: usize = 64;

/// Why a document cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Postgres is away: try again later. A change may have been made.
    #[error("the store does not answer")]
    Unavailable(#[source] Arc<ReadError>),
    /// Our mistake.
    #[error("the store cannot answer")]
    Broken(#[source] Arc<ReadError>),
    /// The cursor is not one of ours.
    #[error("cursor is not one this service gave out")]
    Cursor,
}

impl From<ReadError> for OperatorError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(_) => Self::Unavailable(Arc::new(error)),
            ReadError::Broken(_) => Self::Broken(Arc::new(error)),
        }
    }
}

/// Documents by name and where the page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order of their names.
    pub documents: Vec<Document>,
    /// Ask with it for the next page; `None` at the end.
    pub next_cursor: Option<String>,
}

/// Reads and changes documents. Cheap to clone.
#[derive(Clone)]
pub struct Operators {
    store: OperatorStore,
}

impl Operators {
    /// Over the store of the API.
    pub fn new(store: &ApiStore) -> Self {
        Self { store: OperatorStore::of(store) }
    }

    /// Up to `limit` documents, by name.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn page(&self, kind: Kind, cursor: Option<&str>, limit: u16) -> Result<Page, OperatorError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let after = cursor.map(|cursor| read_cursor(cursor).ok_or(OperatorError::Cursor)).transpose()?;
        // One more than asked tells whether there is a next page.
        let mut documents = self.store.page(kind, after.as_deref().unwrap_or_default(), limit + 1).await?;
        let more = documents.len() > usize::from(limit);
        documents.truncate(usize::from(limit));
        let next_cursor = documents.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(&last.name));
        Ok(Page { documents, next_cursor })
    }

    /// The document of that name.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn document(&self, kind: Kind, name: &str) -> Result<Option<Document>, OperatorError> {
        Ok(self.store.document(kind, name).await?)
    }

    /// Makes a change, if the document stands as its author saw it.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn change(&self, change: &Change) -> Result<Changed, OperatorError> {
        let changed = self.store.change(change).await?;
        if let Changed::Done(version) = changed {
            let (kind, name, actor) = (change.kind.as_str(), change.name.as_str(), change.author.actor.as_str());
            tracing::info!(kind, name, actor, version, "an operator changed a document");
        }
        Ok(changed)
    }
}

fn read_cursor(cursor: &str) -> Option<String> {
    let name = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
    is_name(&name).then_some(name)
}

/// Whether a text may name a document: 1 to 64 of a-z, 0-9, `-` and `_`, the first a letter or digit.
pub fn is_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let sound = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| word(byte) || b"-_".contains(&byte));
    sound && text.bytes().next().is_some_and(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words_and_cursors_hold_names() {
        assert!(["ring", "a", "0-a_b", &"x".repeat(64)].into_iter().all(is_name));
        assert!(!["", "-a", "A", "a b", "a/b", "a.b", "ü", &"x".repeat(65)].into_iter().any(is_name));
        assert_eq!(read_cursor(&URL_SAFE_NO_PAD.encode("ring")).as_deref(), Some("ring"));
        for bad in ["", "%", "cmluZw==", &URL_SAFE_NO_PAD.encode("a\0b")] {
            assert_eq!(read_cursor(bad), None, "{bad}");
        }
    }
}
