//! Questions of tenants: one event, a page of events, a summary. Invariant: the account of every question comes from the
//! token, never from a cursor or a filter, and every answer is bounded in length, age and cost.
//!
//! | question | file | path |
//! |---|---|---|
//! | summary | [`summary`] | process (1 s) → Redis (≤ 58 s) → Postgres, one loader a key |
//! | page | [`listing`] | Postgres, a keyset range |
//! | event | here | Postgres, the primary key |

pub mod listing;
mod metrics;
pub mod summary;

use std::sync::Arc;

pub use crate::store::{EventCount, EventFilter, StoredEvent, UserCount};
pub use listing::{EventQuery, EventsPage, MAX_PAGE};
pub use summary::{MAX_TOP, Summary};

use crate::cache::Cache;
use crate::config::QueryConfig;
use crate::domain::id::{AccountId, EventId};
use crate::domain::time::Timestamp;
use crate::domain::window::{Window, WindowError};
use crate::store::{ApiStore, ReadError};
use summary::Summaries;

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// Postgres is away or slow and no fresh enough answer is kept: ask again later.
    #[error("the store does not answer")]
    Unavailable(#[source] Arc<ReadError>),
    /// Our mistake: asking again is useless.
    #[error("the question cannot be answered")]
    Broken(#[source] Arc<ReadError>),
    /// The cursor is not one of ours.
    #[error("cursor is not one this service gave out")]
    Cursor,
    /// The times asked for are not a window.
    #[error(transparent)]
    Window(#[from] WindowError),
}

impl From<Arc<ReadError>> for QueryError {
    fn from(error: Arc<ReadError>) -> Self {
        match *error {
            ReadError::Unavailable(_) => Self::Unavailable(error),
            ReadError::Broken(_) => Self::Broken(error),
        }
    }
}

impl From<ReadError> for QueryError {
    fn from(error: ReadError) -> Self {
        Arc::new(error).into()
    }
}

/// Answers the questions of one process.
pub struct Queries {
    store: ApiStore,
    summaries: Summaries,
    max_window_seconds: i64,
}

impl Queries {
    /// Puts the use cases on their systems.
    pub fn new(store: ApiStore, cache: Cache, config: &QueryConfig) -> Self {
        metrics::announce();
        let summaries = Summaries::new(store.clone(), cache, config);
        Self { store, summaries, max_window_seconds: config.max_window_seconds() }
    }

    /// The window of the times asked for; what is not given is the last 24 hours, see [`summary::window`].
    ///
    /// # Errors
    /// [`WindowError`] when reversed or too long.
    pub fn window(
        &self,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Window, WindowError> {
        summary::window(from, to, now, self.max_window_seconds)
    }

    /// Counts and the `top` (at most [`MAX_TOP`]) users of a window, at most 60 seconds old.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Broken`].
    pub async fn summary(
        &self,
        account: &AccountId,
        window: Window,
        top: u16,
        now: Timestamp,
    ) -> Result<Summary, QueryError> {
        self.summaries.get(account, window, top, now).await
    }

    /// The event of that id, if it is stored.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Broken`].
    pub async fn event(&self, account: &AccountId, id: &EventId) -> Result<Option<StoredEvent>, QueryError> {
        Ok(self.store.event(account, id).await?)
    }

    /// Whether all events of these ids are stored.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Broken`].
    pub async fn all_stored(&self, account: &AccountId, ids: &[EventId]) -> Result<bool, QueryError> {
        Ok(self.store.stored_among(account, ids).await? == ids.len())
    }

    /// Up to `limit` (at most [`MAX_PAGE`]) events, newest first, from where `cursor` ended.
    ///
    /// # Errors
    /// Any [`QueryError`].
    pub async fn events(
        &self,
        account: &AccountId,
        asked: &EventQuery,
        cursor: Option<&str>,
        limit: u16,
    ) -> Result<EventsPage, QueryError> {
        listing::page(&self.store, account, asked, cursor, limit).await
    }
}
