//! Questions of tenants: one event, a page of events, a summary. Invariant: the account of every question comes from the
//! token, never from a cursor or a filter, and every answer is bounded in length, age and cost.
//!
//! | question | file | path |
//! |---|---|---|
//! | has my event arrived | [`freshness`] | progress of the log, 25 looks a second for all |
//! | summary | [`summary`], [`kept`] | process (1 s) → Redis (≤ 58 s) → Postgres, one loader a key |
//! | metrics | [`measure`] | Postgres: counts, and events at the edges |
//! | counters | [`counters`] | Redis; Postgres heals them |
//! | trace | [`trace`] | Postgres: row, progress, dead letters |
//! | page | [`listing`] | Postgres, a keyset range |
//! | event | here | Postgres, the primary key |
//!
//! Whatever reaches Postgres passes [`gate`], the account's share of connections.

pub mod counters;
mod freshness;
mod gate;
mod kept;
pub mod listing;
pub mod measure;
mod metrics;
pub mod summary;
pub mod trace;

use std::sync::Arc;

pub use crate::store::{
    Approximation, Database, DeadRow, EventCount, EventFilter, GroupBy, Measured, StoredEvent, UserCount,
};
pub use counters::{CountedBy, Counters, MAX_MINUTES};
pub use freshness::Freshness;
pub use kept::{Told, Words};
pub use listing::{EventQuery, EventsPage, MAX_PAGE};
pub use measure::{Figures, MAX_GROUPS, Metrics, MetricsGroup, MetricsQuery, Zone};
pub use summary::{MAX_TOP, Summary};
pub use trace::{Stage, Trace};

use crate::cache::Cache;
use crate::config::QueryConfig;
use crate::domain::event::MAX_TEXT_CHARS;
use crate::domain::id::{AccountId, EventId};
use crate::domain::lane::Lane;
use crate::domain::receipt::ReceiptSealer;
use crate::domain::routes::Routes;
use crate::domain::time::Timestamp;
use crate::domain::window::{Window, WindowError};
use crate::store::{ApiStore, ReadError};
use freshness::Watch;
use gate::Gate;
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
    /// The receipt was not given to this account.
    #[error("not a receipt this service gave to this account for this event")]
    Receipt,
    /// The event of the receipt does not count yet.
    #[error("the event of the receipt is not stored yet")]
    NotCounted,
    /// The account asks too many questions at the same time.
    #[error("this account asks too many questions at the same time")]
    Concurrent,
    /// No topic of that name carries events.
    #[error("no topic of this name carries events")]
    Topic,
    /// The time zone is not in the IANA database.
    #[error("time_zone must be a name of the IANA time zone database, e.g. Europe/Berlin")]
    TimeZone,
    /// The window holds too many events for a question that looks at each of them.
    #[error("the window must hold at most {0} events for this grouping; make it shorter")]
    TooManyEvents(u64),
    /// A filter that no event can match, by its parameter.
    #[error("{0} must be 1 to {MAX_TEXT_CHARS} characters, none of them U+0000")]
    Filter(&'static str),
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
    cache: Cache,
    gate: Arc<Gate>,
    watch: Watch,
    summaries: Summaries,
    routes: Routes,
    max_window_seconds: i64,
    exact_events: u64,
}

impl Queries {
    /// Puts the use cases on their systems.
    pub fn new((store, cache): (ApiStore, Cache), sealer: ReceiptSealer, routes: Routes, config: &QueryConfig) -> Self {
        metrics::announce();
        let gate = Arc::new(Gate::new(config.reads_per_account));
        Self {
            summaries: Summaries::new(store.clone(), cache.clone(), Arc::clone(&gate), config),
            cache,
            watch: Watch::new(store.clone(), sealer),
            store,
            gate,
            routes,
            max_window_seconds: config.max_window_seconds(),
            exact_events: u64::from(config.exact_events),
        }
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

    /// The window of the times asked for; what is not given is everything that is kept, as far as the longest window reaches.
    ///
    /// # Errors
    /// [`WindowError`] when reversed or too long.
    pub fn whole_window(
        &self,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Window, WindowError> {
        measure::window(from, to, now, self.max_window_seconds)
    }

    /// Waits, at most five seconds, until the event of this receipt counts; answers whom to ask then. Without a receipt anyone
    /// may answer.
    ///
    /// # Errors
    /// [`QueryError::Receipt`], [`QueryError::NotCounted`], [`QueryError::Unavailable`] or [`QueryError::Broken`].
    pub async fn wait_for(&self, account: &AccountId, receipt: Option<&str>) -> Result<Database, QueryError> {
        self.watch.wait(account, receipt).await
    }

    /// Counts and the `top` (at most [`MAX_TOP`]) users of a window, at most 60 seconds old, unless Postgres is away; asked of
    /// the primary, past all caches.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`], [`QueryError::Broken`] or [`QueryError::Concurrent`].
    pub async fn summary(
        &self,
        account: &AccountId,
        asked: (Window, u16),
        database: Database,
        now: Timestamp,
    ) -> Result<Summary, QueryError> {
        Ok(self.told_summary(account, asked, database, now).await?.summary(now))
    }

    /// The same for who words it, shared with all who asked for it.
    ///
    /// # Errors
    /// As [`Queries::summary`].
    pub async fn told_summary(
        &self,
        account: &AccountId,
        (window, top): (Window, u16),
        database: Database,
        now: Timestamp,
    ) -> Result<Told, QueryError> {
        match database {
            Database::Usual => self.summaries.get(account, window, top, now).await,
            Database::Primary => self.summaries.get_now(account, window, top, now).await,
        }
    }

    /// Events, users and values of one event name, whole and in groups.
    ///
    /// # Errors
    /// Any [`QueryError`].
    pub async fn metrics(
        &self,
        account: &AccountId,
        asked: &MetricsQuery,
        now: Timestamp,
    ) -> Result<Metrics, QueryError> {
        let _permit = self.gate.enter(account).await?;
        measure::measure(&self.store, account, asked, self.exact_events, now).await
    }

    /// The event of that id, if it is stored.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`], [`QueryError::Broken`] or [`QueryError::Concurrent`].
    pub async fn event(
        &self,
        account: &AccountId,
        id: &EventId,
        database: Database,
    ) -> Result<Option<StoredEvent>, QueryError> {
        let _permit = self.gate.enter(account).await?;
        Ok(self.store.event(account, id, database).await?.value)
    }

    /// Whether all events of these ids are stored.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Broken`].
    pub async fn all_stored(&self, account: &AccountId, ids: &[EventId]) -> Result<bool, QueryError> {
        Ok(self.store.stored_among(account, ids).await? == ids.len())
    }

    /// Up to `limit` (at most [`MAX_PAGE`]) events, newest first, from where the cursor ended.
    ///
    /// # Errors
    /// Any [`QueryError`].
    pub async fn events(
        &self,
        account: &AccountId,
        asked: &EventQuery,
        limit: u16,
        now: Timestamp,
    ) -> Result<EventsPage, QueryError> {
        let _permit = self.gate.enter(account).await?;
        listing::page(&self.store, account, asked, limit, now).await
    }

    /// The newest events whose names take a topic by the classes as they are now, at most [`MAX_PAGE`]; the account's own, as
    /// everywhere. Both lanes of a topic are one stream of events.
    ///
    /// # Errors
    /// Any [`QueryError`]; [`QueryError::Topic`] when it is not a topic of events.
    pub async fn latest(
        &self,
        account: &AccountId,
        topic: &str,
        limit: u16,
        now: Timestamp,
    ) -> Result<EventsPage, QueryError> {
        if !self.store.carries(topic) {
            return Err(QueryError::Topic);
        }
        let names = self.routes.now().names_of(Lane::base(topic));
        let _permit = self.gate.enter(account).await?;
        listing::latest(&self.store, account, &names, limit, now).await
    }

    /// What became of the event of that id; with its receipt, also while it is in flight.
    ///
    /// # Errors
    /// Any [`QueryError`]; [`QueryError::Receipt`] when the receipt is another account's or another event's.
    pub async fn trace(
        &self,
        account: &AccountId,
        event_id: EventId,
        receipt: Option<&str>,
        now: Timestamp,
    ) -> Result<Trace, QueryError> {
        let shown = receipt.map(|text| self.watch.open(account, text)).transpose()?;
        if shown.as_ref().is_some_and(|shown| shown.event_id != event_id) {
            return Err(QueryError::Receipt);
        }
        let logged = shown.map(|shown| shown.receipt);
        let _permit = self.gate.enter(account).await?;
        // The primary: a replica that is behind would call in flight what is stored.
        let seen = self.store.trace(account, &event_id, logged.as_ref(), Database::Primary).await?;
        Ok(trace::trace(event_id, logged, seen, now))
    }

    /// Events of the last minutes (at most [`MAX_MINUTES`]), as they come in.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`], [`QueryError::Broken`] or [`QueryError::Concurrent`].
    pub async fn counters(&self, account: &AccountId, minutes: u16, now: Timestamp) -> Result<Counters, QueryError> {
        counters::counters((&self.store, &self.cache, &self.gate), account, minutes, now).await
    }
}
