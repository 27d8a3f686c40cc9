//! A summary as the caches keep it, and how long it may be shown. Invariant: pure; what is decided here depends on the arguments
//! alone.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::freshness::Freshness;
use super::summary::{PROCESS_TTL, Summary};
use super::{EventCount, UserCount};
use crate::cache::Aged;
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;
use crate::domain::window::Window;
use crate::store::{Approximation, Seen, SummaryRows};

/// An answer stays fresh for this many times what it cost.
const FRESH_PER_COST: u32 = 100;

/// The part of an answer that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    from: i64,
    to: i64,
    top: u16,
    /// Whether it is about that window widened to whole buckets.
    widened: bool,
    total: u64,
    counts: Vec<(String, u64)>,
    users: Option<Vec<(String, u64)>>,
    relative_error: Option<f64>,
    unseen_events: u64,
    as_of: Option<i64>,
    replica: bool,
    cost_micros: u64,
    fresh_micros: u64,
    /// Shown although it is too old, because Postgres is away.
    #[serde(skip)]
    pub(super) stale: bool,
    #[serde(skip)]
    words: OnceLock<Words>,
}

/// An answer in the words of whoever tells it, but for its lag, which stands between the two parts.
pub type Words = [Bytes; 2];

/// An answer as it is kept, shared by all who get it.
#[derive(Debug, Clone)]
pub struct Told {
    kept: Arc<Aged<Kept>>,
    account: AccountId,
    window: Window,
}

impl Told {
    pub(super) fn new(kept: Arc<Aged<Kept>>, account: &AccountId, window: Window) -> Self {
        Self { kept, account: account.clone(), window }
    }

    /// The answer.
    pub fn summary(&self, now: Timestamp) -> Summary {
        self.kept.answer(&self.account, self.window, now)
    }

    /// Its words; `word` finds them for the first who asks, all others get the same.
    pub fn words(&self, word: impl FnOnce() -> Words) -> &Words {
        self.kept.value.words.get_or_init(word)
    }

    /// Seconds it is behind.
    pub fn lag_seconds(&self, now: Timestamp) -> Option<f64> {
        self.kept.freshness(now).lag_seconds
    }

    /// When Postgres was asked.
    pub fn computed_at(&self) -> Timestamp {
        Timestamp::from_micros(self.kept.computed_at).unwrap_or(Timestamp::EPOCH)
    }
}

impl Kept {
    /// An answer that took `cost` and is fresh for at most `most`.
    pub(super) fn new((window, top): (Window, u16), seen: Seen<SummaryRows>, cost: Duration, most: Duration) -> Self {
        let rows = seen.value;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            from: window.from_seconds(),
            to: window.to_seconds(),
            top,
            widened: rows.window != window,
            total: rows.total_events,
            counts: rows.counts.into_iter().map(|count| (count.event_name, count.events)).collect(),
            users: rows.top_users.map(|users| users.into_iter().map(|user| (user.user_id, user.events)).collect()),
            relative_error: rows.approximation.map(|approximation| approximation.relative_error),
            unseen_events: rows.approximation.map_or(0, |approximation| approximation.unseen_events),
            as_of: seen.data_as_of.map(Timestamp::micros),
            replica: seen.replica,
            cost_micros: micros(cost),
            fresh_micros: micros(cost.saturating_mul(FRESH_PER_COST).clamp(PROCESS_TTL, most)),
            stale: false,
            words: OnceLock::new(),
        }
    }

    /// Whether it is the answer to that question; another may have taken its place.
    pub(super) fn is_of(&self, window: Window, top: u16) -> bool {
        (self.from, self.to, self.top) == (window.from_seconds(), window.to_seconds(), top)
    }

    pub(super) fn fresh_for(&self) -> Duration {
        Duration::from_micros(self.fresh_micros)
    }

    /// Whether this reader should renew an answer of that age before it runs out, so that nobody has to wait for the next one.
    /// The dearer the answer and the closer its end, the likelier (XFetch: Vattani, Chierichetti, Lowenstein, 2015); `luck` is
    /// uniform in (0, 1], so that of many readers and processes about one does it.
    pub(super) fn is_due(&self, age: Duration, luck: f64) -> bool {
        let early = self.cost_micros as f64 * -luck.ln();
        age.as_micros() as f64 + early >= self.fresh_for().as_micros() as f64
    }

    pub(super) fn weight(&self) -> u32 {
        let texts =
            self.counts.iter().chain(self.users.iter().flatten()).map(|(text, _)| text.len() + 40).sum::<usize>();
        // Once for the texts and once for the words.
        u32::try_from(2 * texts + 800).unwrap_or(u32::MAX)
    }
}

impl Aged<Kept> {
    fn freshness(&self, now: Timestamp) -> Freshness {
        let data_as_of = self.value.as_of.and_then(|micros| Timestamp::from_micros(micros).ok());
        Freshness::new(data_as_of, self.value.replica, now)
    }

    pub(super) fn answer(&self, account: &AccountId, window: Window, now: Timestamp) -> Summary {
        let kept = &self.value;
        Summary {
            account_id: account.clone(),
            window: if kept.widened { window.widened() } else { window },
            total_events: kept.total,
            counts: pairs(&kept.counts, |event_name, events| EventCount { event_name, events }),
            top_users: kept.users.as_deref().map(|users| pairs(users, |user_id, events| UserCount { user_id, events })),
            approximation: kept
                .relative_error
                .map(|relative_error| Approximation { relative_error, unseen_events: kept.unseen_events }),
            freshness: self.freshness(now),
            computed_at: Timestamp::from_micros(self.computed_at).unwrap_or(now),
            stale: kept.stale,
        }
    }
}

fn pairs<T>(kept: &[(String, u64)], make: impl Fn(String, u64) -> T) -> Vec<T> {
    kept.iter().map(|(text, events)| make(text.clone(), *events)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::SECOND;

    const NOW: i64 = 1_700_000_100;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).expect("time")
    }

    fn kept(cost_ms: u64) -> Kept {
        let value = SummaryRows {
            window: Window::last(60, at(NOW)),
            total_events: 0,
            counts: vec![],
            top_users: None,
            approximation: None,
        };
        let seen = Seen { value, data_as_of: Some(at(NOW - 5)), replica: false };
        Kept::new((Window::last(60, at(NOW)), 10), seen, Duration::from_millis(cost_ms), Duration::from_secs(45))
    }

    #[test]
    fn a_dear_answer_stays_fresh_longer_than_a_cheap_one() {
        assert_eq!(kept(2).fresh_for(), Duration::from_secs(1));
        assert_eq!(kept(100).fresh_for(), Duration::from_secs(10));
        assert_eq!(kept(5_000).fresh_for(), Duration::from_secs(45));
    }

    #[test]
    fn an_answer_is_renewed_early_by_the_lucky_and_late_by_all() {
        let dear = kept(450);
        assert!(!dear.is_due(Duration::from_secs(30), 0.5));
        assert!(dear.is_due(Duration::from_secs(44), 0.01));
        assert!(dear.is_due(Duration::from_secs(45), 1.0));
        // A reader in a hundred renews 2 s before the end (0.45 s × ln 100).
        assert!(dear.is_due(Duration::from_secs(43), 0.01) && !dear.is_due(Duration::from_secs(42), 0.01));
    }

    #[test]
    fn lag_is_told_at_the_time_of_the_answer() {
        let account = AccountId::new("a").expect("account");
        let aged = Aged { computed_at: NOW * SECOND, value: kept(0) };
        let summary = aged.answer(&account, Window::last(60, at(NOW)), at(NOW + 2));
        assert_eq!(summary.freshness.lag_seconds, Some(7.0));
        let told = Told::new(Arc::new(aged), &account, Window::last(60, at(NOW)));
        assert_eq!(told.lag_seconds(at(NOW + 3)), Some(8.0));
        let words = |text: &'static str| [Bytes::from_static(text.as_bytes()), Bytes::new()];
        assert_eq!(told.words(|| words("first")), &words("first"));
        assert_eq!(told.clone().words(|| words("second")), &words("first"), "worded once for all");
    }
}
