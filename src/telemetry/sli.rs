//! Levels of service as they happen, kept until they are flushed to Postgres. Invariant: one answer costs one short lock and
//! never waits for a flush; memory is bounded, and what finds no room is dropped and counted, never an event or a request.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntCounter;

use super::metrics::int_counter;
use crate::domain::id::AccountId;
use crate::domain::sli::{Sample, Verdict};
use crate::domain::time::Timestamp;

/// Locks, so that requests rarely meet at one.
const SHARDS: usize = 16;

/// Most rows of accounts, and most rows of minutes, in one shard: 200,000 of either in all, some 60 MB at the very worst, with
/// Postgres away for a day.
const MAX_ROWS: usize = 12_500;

static DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter(
        "weir_sli_dropped_total",
        "Answers missing in reports because Postgres was away too long; look at Postgres. Prometheus has them.",
    )
});

/// Sums since the last flush. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    minutes: HashMap<(i64, &'static str), Sample>,
    accounts: HashMap<AccountId, Vec<HourRow>>,
    account_rows: usize,
}

#[derive(Debug)]
struct HourRow {
    hour: i64,
    operation: &'static str,
    sample: Sample,
}

/// What was recorded since the last one, in the order of its keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// By minute (Unix seconds of its beginning) and operation.
    pub minutes: BTreeMap<(i64, &'static str), Sample>,
    /// By account, hour (Unix seconds of its beginning) and operation.
    pub hours: BTreeMap<(AccountId, i64, &'static str), Sample>,
}

impl Sums {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.minutes.is_empty() && self.hours.is_empty()
    }

    /// The same in parts of at most `rows` rows, in the order of the keys; one empty part when nothing happened.
    pub fn parts(self, rows: usize) -> Vec<Self> {
        let mut parts = vec![Self::default()];
        for (key, sample) in self.minutes {
            room(&mut parts, rows).minutes.insert(key, sample);
        }
        for (key, sample) in self.hours {
            room(&mut parts, rows).hours.insert(key, sample);
        }
        parts
    }
}

/// The last part, or a new one when that is full.
fn room(parts: &mut Vec<Sums>, rows: usize) -> &mut Sums {
    if parts.last().is_none_or(|part| part.minutes.len() + part.hours.len() >= rows) {
        parts.push(Sums::default());
    }
    let last = parts.len() - 1;
    &mut parts[last]
}

impl Default for Recorder {
    fn default() -> Self {
        DROPPED.inc_by(0);
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shared: Arc::new(Shared { hasher: RandomState::new(), shards }) }
    }
}

impl Recorder {
    /// Files one answer of an operation and the time it took, for its account where that is known.
    pub fn record(
        &self,
        now: Timestamp,
        operation: &'static str,
        account: Option<&AccountId>,
        answer: (Verdict, Duration),
    ) {
        let hash = account.map_or(0, |account| self.shared.hasher.hash_one(account));
        // Fewer than the number of shards, so it fits.
        let mut shard = self.shared.shards[(hash % SHARDS as u64) as usize].lock();
        let kept = shard.add(now.unix_seconds(), operation, account, answer);
        drop(shard);
        if !kept {
            DROPPED.inc();
        }
    }

    /// Takes everything out.
    pub fn take(&self) -> Sums {
        let mut sums = Sums::default();
        for shard in &self.shared.shards {
            let Shard { minutes, accounts, .. } = std::mem::take(&mut *shard.lock());
            for (key, sample) in minutes {
                sums.minutes.entry(key).or_default().merge(&sample);
            }
            for (account, rows) in accounts {
                for row in rows {
                    sums.hours.entry((account.clone(), row.hour, row.operation)).or_default().merge(&row.sample);
                }
            }
        }
        sums
    }
}

impl Shard {
    /// Whether there was room.
    fn add(
        &mut self,
        second: i64,
        operation: &'static str,
        account: Option<&AccountId>,
        (verdict, took): (Verdict, Duration),
    ) -> bool {
        let (minute, hour) = (second - second % 60, second - second % 3_600);
        let room = self.minutes.len() < MAX_ROWS;
        let minute = match room {
            true => Some(self.minutes.entry((minute, operation)).or_default()),
            false => self.minutes.get_mut(&(minute, operation)),
        };
        let kept = minute.map(|sample| sample.add(verdict, took)).is_some();
        let Some(account) = account else { return kept };
        if let Some(rows) = self.accounts.get_mut(account)
            && let Some(row) = rows.iter_mut().rfind(|row| row.hour == hour && row.operation == operation)
        {
            row.sample.add(verdict, took);
            return kept;
        }
        if self.account_rows >= MAX_ROWS {
            return false;
        }
        self.account_rows += 1;
        let mut sample = Sample::default();
        sample.add(verdict, took);
        self.accounts.entry(account.clone()).or_default().push(HourRow { hour, operation, sample });
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_seconds(second).expect("time")
    }

    fn account(name: &str) -> AccountId {
        AccountId::new(name).expect("account")
    }

    #[test]
    fn sums_by_minute_and_by_account_and_hour() {
        let recorder = Recorder::default();
        let (a, b) = (account("a"), account("b"));
        recorder.record(at(3_599), "post", Some(&a), (Verdict::Good, MS));
        recorder.record(at(3_600), "post", Some(&a), (Verdict::Bad, MS));
        recorder.record(at(3_601), "post", Some(&b), (Verdict::Client, MS));
        recorder.record(at(3_602), "get", None, (Verdict::Client, MS));
        let sums = recorder.take();
        let told = |sample: &Sample| (sample.good, sample.bad, sample.client);
        let minutes: Vec<_> = sums.minutes.iter().map(|(key, sample)| (*key, told(sample))).collect();
        assert_eq!(minutes, [((3_540, "post"), (1, 0, 0)), ((3_600, "get"), (0, 0, 1)), ((3_600, "post"), (0, 1, 1))]);
        let hours: Vec<_> = sums.hours.iter().map(|((a, h, _), s)| (a.as_str(), *h, told(s))).collect();
        assert_eq!(hours, [("a", 0, (1, 0, 0)), ("a", 3_600, (0, 1, 0)), ("b", 3_600, (0, 0, 1))]);
        assert!(recorder.take().is_empty());

        let parts = sums.clone().parts(4);
        assert_eq!(
            parts.iter().map(|part| (part.minutes.len(), part.hours.len())).collect::<Vec<_>>(),
            [(3, 1), (0, 2)]
        );
        let mut whole = Sums::default();
        for part in parts {
            whole.minutes.extend(part.minutes);
            whole.hours.extend(part.hours);
        }
        assert_eq!((whole, Sums::default().parts(4)), (sums, vec![Sums::default()]));
    }

    #[test]
    fn memory_is_bounded_and_what_is_dropped_is_counted() {
        let (recorder, before) = (Recorder::default(), DROPPED.get());
        for i in 0..(SHARDS * MAX_ROWS + 50_000) {
            recorder.record(at(0), "post", Some(&account(&format!("a{i}"))), (Verdict::Good, MS));
        }
        let sums = recorder.take();
        assert!(sums.hours.len() <= SHARDS * MAX_ROWS);
        assert!(DROPPED.get() - before >= 50_000);
        let all: u64 = sums.minutes.values().map(|sample| sample.good).sum();
        assert_eq!(all, (SHARDS * MAX_ROWS + 50_000) as u64, "the service's own sums are whole");
    }
}
