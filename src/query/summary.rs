//! Summaries through two caches. Invariant: an answer is never served when it was computed more than 60 seconds ago, and
//! however many ask for one key at once, this process loads it once.
//!
//! 1. process cache: a second, so that a dashboard storm costs nothing;
//! 2. Redis: 45 to 58 seconds, spread so that keys written together do not run out together; away, it is skipped. An answer
//!    from here is taken while it is younger than a hundred times what it cost Postgres, so that a small account sees its
//!    events at once and a large one costs Postgres at most a hundredth of its time;
//! 3. Postgres; away, whatever Redis still holds is better than nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache as ProcessCache;
use serde::{Deserialize, Serialize};

use super::metrics::{self, Source};
use super::{EventCount, QueryError, UserCount};
use crate::cache::{Aged, Cache};
use crate::config::QueryConfig;
use crate::domain::id::AccountId;
use crate::domain::time::{SECOND, Timestamp};
use crate::domain::window::{BUCKET_SECONDS, Window, WindowError, bucket_of};
use crate::store::{ApiStore, ReadError, SummaryRows};

/// Most users of one answer.
pub const MAX_TOP: u16 = 100;

/// How long the process keeps an answer.
const PROCESS_TTL: Duration = Duration::from_secs(1);

/// What Redis returns must be younger, so that with [`PROCESS_TTL`] on top no answer is older than 60 s.
const MAX_AGE: Duration = Duration::from_secs(59);

/// An answer stays fresh for this many times what it cost.
const FRESH_PER_COST: u32 = 100;

/// Even a dear answer is computed anew after this time, before Redis forgets it.
const MAX_FRESH: Duration = Duration::from_secs(45);

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
    /// Most active users, most active first.
    pub top_users: Vec<UserCount>,
    /// Everything received before this time is counted; `None` until anything was stored.
    pub data_as_of: Option<Timestamp>,
    /// Seconds between `data_as_of` and now.
    pub lag_seconds: Option<f64>,
    /// When Postgres was asked.
    pub computed_at: Timestamp,
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

/// The part of an answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    total: u64,
    counts: Vec<(String, u64)>,
    users: Vec<(String, u64)>,
    as_of: Option<i64>,
    cost_micros: u64,
}

type Key = (AccountId, Window, u16);

pub(super) struct Summaries {
    store: ApiStore,
    redis: Cache,
    process: ProcessCache<Key, Arc<Aged<Kept>>>,
}

impl Summaries {
    pub(super) fn new(store: ApiStore, redis: Cache, config: &QueryConfig) -> Self {
        let process = ProcessCache::builder()
            .max_capacity(u64::from(config.summary_cache_mib) << 20)
            .weigher(|_, kept: &Arc<Aged<Kept>>| kept.value.weight())
            .time_to_live(PROCESS_TTL)
            .build();
        Self { store, redis, process }
    }

    pub(super) async fn get(
        &self,
        account: &AccountId,
        window: Window,
        top: u16,
        now: Timestamp,
    ) -> Result<Summary, QueryError> {
        let top = top.min(MAX_TOP);
        let key = (account.clone(), window, top);
        let entry = self.process.entry(key).or_try_insert_with(self.load(account, window, top, now)).await?;
        if !entry.is_fresh() {
            metrics::answered(Source::Process);
        }
        Ok(entry.into_value().answer(account, window, now))
    }

    /// Runs in one caller at a time for a key; the others wait for it. When that caller goes away, another takes over.
    async fn load(
        &self,
        account: &AccountId,
        window: Window,
        top: u16,
        now: Timestamp,
    ) -> Result<Arc<Aged<Kept>>, ReadError> {
        let what = format!("summary:{}:{}:{top}", window.from_seconds(), window.to_seconds());
        let key = self.redis.key(account, &what);
        let held = self.redis.get::<Kept>(&key).await.filter(|kept| kept.age(now) < MAX_AGE);
        if let Some(kept) = held.as_ref().filter(|kept| kept.age(now) < kept.value.fresh_for()) {
            metrics::answered(Source::Redis);
            return Ok(Arc::new(kept.clone()));
        }
        let asked = Instant::now();
        match (self.store.summary(account, window, top).await, held) {
            (Ok(rows), _) => {
                metrics::answered(Source::Postgres);
                // Aged from before the question, so that the time Postgres took counts as age.
                let kept = Arc::new(Aged { computed_at: now.micros(), value: Kept::new(rows, asked.elapsed()) });
                self.redis.put(&key, &*kept, ttl()).await;
                Ok(kept)
            }
            (Err(ReadError::Unavailable(_)), Some(held)) => {
                metrics::answered(Source::Stale);
                Ok(Arc::new(held))
            }
            (Err(error), _) => {
                metrics::answered(Source::Nobody);
                Err(error)
            }
        }
    }
}

fn ttl() -> Duration {
    Duration::from_millis(rand::random_range(45_000..=58_000))
}

impl Kept {
    fn new(rows: SummaryRows, cost: Duration) -> Self {
        Self {
            total: rows.total_events,
            counts: rows.counts.into_iter().map(|count| (count.event_name, count.events)).collect(),
            users: rows.top_users.into_iter().map(|user| (user.user_id, user.events)).collect(),
            as_of: rows.data_as_of.map(Timestamp::micros),
            cost_micros: u64::try_from(cost.as_micros()).unwrap_or(u64::MAX),
        }
    }

    fn fresh_for(&self) -> Duration {
        Duration::from_micros(self.cost_micros).saturating_mul(FRESH_PER_COST).clamp(PROCESS_TTL, MAX_FRESH)
    }

    fn weight(&self) -> u32 {
        let texts = self.counts.iter().chain(&self.users).map(|(text, _)| text.len() + 40).sum::<usize>();
        u32::try_from(texts + 400).unwrap_or(u32::MAX)
    }
}

impl Aged<Kept> {
    fn answer(&self, account: &AccountId, window: Window, now: Timestamp) -> Summary {
        let kept = &self.value;
        let data_as_of = kept.as_of.and_then(|micros| Timestamp::from_micros(micros).ok());
        Summary {
            account_id: account.clone(),
            window,
            total_events: kept.total,
            counts: pairs(&kept.counts, |event_name, events| EventCount { event_name, events }),
            top_users: pairs(&kept.users, |user_id, events| UserCount { user_id, events }),
            data_as_of,
            lag_seconds: data_as_of.map(|as_of| now.micros_since(as_of).max(0) as f64 / SECOND as f64),
            computed_at: Timestamp::from_micros(self.computed_at).unwrap_or(now),
        }
    }
}

fn pairs<T>(kept: &[(String, u64)], make: impl Fn(String, u64) -> T) -> Vec<T> {
    kept.iter().map(|(text, events)| make(text.clone(), *events)).collect()
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

    #[test]
    fn a_dear_answer_stays_fresh_longer_than_a_cheap_one() {
        let fresh_for = |cost| {
            let rows = SummaryRows { total_events: 0, counts: vec![], top_users: vec![], data_as_of: None };
            Kept::new(rows, Duration::from_millis(cost)).fresh_for()
        };
        assert_eq!(fresh_for(2), Duration::from_secs(1));
        assert_eq!(fresh_for(100), Duration::from_secs(10));
        assert_eq!(fresh_for(5_000), Duration::from_secs(45));
    }

    #[test]
    fn lag_is_told_at_the_time_of_the_answer() {
        let value = Kept { total: 0, counts: vec![], users: vec![], as_of: Some((NOW - 5) * SECOND), cost_micros: 0 };
        let account = AccountId::new("a").expect("account");
        let window = Window::last(60, at(NOW));
        let summary = Aged { computed_at: NOW * SECOND, value }.answer(&account, window, at(NOW + 2));
        assert_eq!(summary.lag_seconds, Some(7.0));
    }
}
