//! Summaries through two caches. Invariant: while Postgres answers, nobody is shown an answer that was computed more than 60
//! seconds ago, and however many ask for one key at once, this process loads it once.
//!
//! 1. process cache: a second, so that a dashboard storm costs nothing;
//! 2. Redis, for windows of whole buckets; away, it is skipped. An answer from here is taken while it is younger than a hundred
//!    times what it cost Postgres and than 45 to 58 seconds, spread so that answers written together do not run out together: a
//!    small account sees its events at once and a large one costs Postgres at most a hundredth of its time; near its end one of
//!    its readers renews it in the background ([`Kept::is_due`]);
//! 3. Postgres, within the account's share ([`Gate`]); away, the last answer Redis knows is shown and said to be stale.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache as ProcessCache;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::freshness::Freshness;
use super::gate::Gate;
use super::kept::{Kept, Told};
use super::metrics::{self, Source};
use super::{EventCount, QueryError, UserCount};
use crate::cache::{Aged, Cache};
use crate::config::QueryConfig;
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;
use crate::domain::window::{BUCKET_SECONDS, Window, WindowError, bucket_of};
use crate::store::{ApiStore, Approximation, Bounds, Database};

/// Most users of one answer.
pub const MAX_TOP: u16 = 100;

/// How long the process keeps an answer.
pub(super) const PROCESS_TTL: Duration = Duration::from_secs(1);

/// Milliseconds after which even a dear answer is computed anew: with [`PROCESS_TTL`] on top none is older than 60 s.
const MOST_FRESH: RangeInclusive<u64> = 45_000..=58_000;

/// Answers of one account that Redis holds: a window is kept in the place its numbers point to, over whatever was there, so
/// that nobody can fill Redis by asking for ever new windows.
const SLOTS: i64 = 64;

/// Most answers this process renews in the background at the same time.
const MAX_RENEWALS: usize = 64;

/// Seconds of the default window.
const DEFAULT_SECONDS: i64 = 86_400;

/// Counts and top users of one account over a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Whose events.
    pub account_id: AccountId,
    /// When they happened.
    pub window: Window,
    /// All of them.
    pub total_events: u64,
    /// By name, most frequent first, at most 1,000 names.
    pub counts: Vec<EventCount>,
    /// Most active users, most active first; `None` when they cannot be told.
    pub top_users: Option<Vec<UserCount>>,
    /// How far top users may be from the truth; `None` when they were counted.
    pub approximation: Option<Approximation>,
    /// How far it reaches.
    pub freshness: Freshness,
    /// When Postgres was asked.
    pub computed_at: Timestamp,
    /// Whether it is older than it should be, because Postgres is away.
    pub stale: bool,
}

/// The window of the times asked for. Without `to` it ends with the current 15-minute bucket, without `from` it starts with the
/// bucket 24 hours earlier: such windows are the same for everyone within 15 minutes, so their answers are shared, and they
/// consist of whole buckets, so no event has to be counted one by one. What has just happened is inside.
pub(super) fn window(
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    now: Timestamp,
    max_seconds: i64,
) -> Result<Window, WindowError> {
    let second = |seconds: i64| Timestamp::from_unix_seconds(seconds.max(0)).unwrap_or(Timestamp::MAX);
    let end = to.unwrap_or_else(|| second(bucket_of(now) + BUCKET_SECONDS - 1));
    let start = from.unwrap_or_else(|| {
        let earlier = second(to.unwrap_or(now).unix_seconds() - DEFAULT_SECONDS + 1);
        if to.is_some() { earlier } else { second(bucket_of(earlier)) }
    });
    // Whole buckets make the default window a little longer than a day; that must not break the shortest bound.
    let default = from.is_none() && to.is_none();
    Window::new(start, end, if default { max_seconds.max(DEFAULT_SECONDS + 2 * BUCKET_SECONDS) } else { max_seconds })
}

/// What one answer is kept under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    account: AccountId,
    window: Window,
    top: u16,
}

type Answer = Arc<Aged<Kept>>;

/// Answers with the caches in front.
pub(super) struct Summaries {
    process: ProcessCache<Key, Answer>,
    loader: Arc<Loader>,
    renewals: TaskTracker,
}

/// What it takes to find an answer that the process does not have.
struct Loader {
    store: ApiStore,
    redis: Cache,
    gate: Arc<Gate>,
    stale_for: Duration,
    few: u64,
    exact: u64,
    renewing: Mutex<HashSet<Key>>,
}

impl Summaries {
    pub(super) fn new(store: ApiStore, redis: Cache, gate: Arc<Gate>, config: &QueryConfig) -> Self {
        let process = ProcessCache::builder()
            .max_capacity(u64::from(config.summary_cache_mib) << 20)
            .weigher(|_, kept: &Answer| kept.value.weight())
            .time_to_live(PROCESS_TTL)
            .build();
        let stale_for = Duration::from_secs(config.summary_stale_seconds);
        let [few, exact] = [config.few_events, config.exact_events].map(u64::from);
        let loader = Loader { store, redis, gate, stale_for, few, exact, renewing: Mutex::default() };
        Self { process, loader: Arc::new(loader), renewals: TaskTracker::new() }
    }

    pub(super) async fn get(
        &self,
        account: &AccountId,
        window: Window,
        top: u16,
        now: Timestamp,
    ) -> Result<Told, QueryError> {
        let key = Key { account: account.clone(), window, top: top.min(MAX_TOP) };
        // Most answers are there, and a look costs less than an entry.
        if let Some(kept) = self.process.get(&key).await {
            metrics::answered(Source::Process);
            return Ok(Told::new(kept, account, window));
        }
        let load = self.load(key.clone(), now);
        let entry = self.process.entry(key).or_try_insert_with(load).await.map_err(|error| (*error).clone())?;
        if !entry.is_fresh() {
            metrics::answered(Source::Process);
        }
        Ok(Told::new(entry.into_value(), account, window))
    }

    /// Past both caches, from the primary.
    pub(super) async fn get_now(
        &self,
        account: &AccountId,
        window: Window,
        top: u16,
        now: Timestamp,
    ) -> Result<Told, QueryError> {
        let key = Key { account: account.clone(), window, top: top.min(MAX_TOP) };
        let computed = self.loader.compute(&key, Database::Primary, now).await;
        Ok(Told::new(computed?, account, window))
    }

    /// Runs in one caller at a time for a key; the others wait for it. When that caller goes away, another takes over.
    async fn load(&self, key: Key, now: Timestamp) -> Result<Answer, QueryError> {
        let held = self.loader.held(&key).await;
        let Some(held) = held.filter(|held| held.age(now) < held.value.fresh_for()) else {
            return self.loader.compute_or_stale(&key, now).await;
        };
        metrics::answered(Source::Redis);
        if held.value.is_due(held.age(now), 1.0 - rand::random::<f64>()) {
            self.renew(key, now);
        }
        Ok(Arc::new(held))
    }

    /// Computes an answer in the background, once a key; it ends within the deadlines of its parts.
    fn renew(&self, key: Key, now: Timestamp) {
        let mut renewing = self.loader.renewing.lock();
        if renewing.len() >= MAX_RENEWALS || !renewing.insert(key.clone()) {
            return;
        }
        drop(renewing);
        let loader = Arc::clone(&self.loader);
        let renewal = Renewal { loader, key };
        self.renewals.spawn(async move {
            // Nobody waits for it: a failure shows in the metrics, and the next reader loads.
            if renewal.loader.compute(&renewal.key, Database::Usual, now).await.is_ok() {
                metrics::renewed();
            }
        });
    }
}

/// A renewal under way; no longer when dropped.
struct Renewal {
    loader: Arc<Loader>,
    key: Key,
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.loader.renewing.lock().remove(&self.key);
    }
}

impl Loader {
    /// What Redis has of that key, however old.
    async fn held(&self, key: &Key) -> Option<Aged<Kept>> {
        let held = self.redis.get::<Kept>(&self.name(key)?).await?;
        held.value.is_of(key.window, key.top).then_some(held)
    }

    async fn compute(&self, key: &Key, database: Database, now: Timestamp) -> Result<Answer, QueryError> {
        let permit = self.gate.enter(&key.account).await?;
        let asked = Instant::now();
        let bounds = Bounds { top: key.top, few: self.few, exact: self.exact };
        let seen = self.store.summary(&key.account, key.window, bounds, database).await?;
        drop(permit);
        metrics::answered(Source::Postgres);
        // Aged from before the question, so that the time Postgres took counts as age.
        let most = Duration::from_millis(rand::random_range(MOST_FRESH));
        let value = Kept::new((key.window, key.top), seen, asked.elapsed(), most);
        let kept = Arc::new(Aged { computed_at: now.micros(), value });
        if let Some(name) = self.name(key) {
            self.redis.put(&name, &*kept, self.stale_for).await;
        }
        Ok(kept)
    }

    /// Redis keeps an answer longer than it is fresh, for the time when Postgres is away.
    async fn compute_or_stale(&self, key: &Key, now: Timestamp) -> Result<Answer, QueryError> {
        let error = match self.compute(key, Database::Usual, now).await {
            Ok(kept) => return Ok(kept),
            Err(error) => error,
        };
        let last = match error {
            QueryError::Unavailable(_) => self.held(key).await,
            _ => None,
        };
        let Some(mut last) = last.filter(|last| last.age(now) < self.stale_for) else {
            metrics::answered(Source::Nobody);
            return Err(error);
        };
        metrics::answered(Source::Stale);
        last.value.stale = true;
        Ok(Arc::new(last))
    }

    /// The key in Redis; `None` for windows that are not kept there.
    fn name(&self, Key { account, window, top }: &Key) -> Option<String> {
        let (first, end) = window.whole_buckets().filter(|buckets| *buckets == window.touched_buckets())?;
        let slot = (first / BUCKET_SECONDS + 31 * (end / BUCKET_SECONDS) + 7 * i64::from(*top)).rem_euclid(SLOTS);
        Some(self.redis.key(account, &format!("summary:{slot}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).expect("time")
    }

    const NOW: i64 = 1_700_000_100;

    #[test]
    fn the_default_window_is_whole_buckets_around_the_last_day_and_shared() {
        let window = |now| super::window(None, None, at(now), 86_400).expect("window");
        let first = window(NOW);
        assert!(first.from_seconds() <= NOW - 86_399 && first.to_seconds() >= NOW);
        assert_eq!(first.whole_buckets(), Some((first.from_seconds(), first.to_seconds() + 1)));
        let bucket = bucket_of(at(NOW));
        assert_eq!(window(bucket), window(bucket + BUCKET_SECONDS - 2));
    }

    #[test]
    fn times_that_are_given_are_kept() {
        let window = |from, to| super::window(from, to, at(NOW), 86_400);
        let both = window(Some(at(10)), Some(at(20))).expect("window");
        assert_eq!((both.from_seconds(), both.to_seconds()), (10, 20));
        let to = window(None, Some(at(100_000))).expect("window");
        assert_eq!((to.from_seconds(), to.to_seconds()), (13_601, 100_000));
        assert_eq!(window(Some(at(0)), None), Err(WindowError::TooLong(86_400)));
        assert_eq!(window(Some(at(20)), Some(at(10))), Err(WindowError::Reversed));
    }
}
