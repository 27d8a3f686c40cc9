//! New rows on their way to the live counters. Invariant: counting never delays a write and holds at most [`MAX_PENDING`]
//! counters; what is dropped is right again with the next seed (`cache::counters`).

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::metrics;
use crate::cache::{Cache, Minutes};
use crate::domain::event::Event;
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;
use crate::store::Written;

/// Distance between flushes.
const EVERY: Duration = Duration::from_millis(200);

/// Most counters that wait for a flush.
const MAX_PENDING: usize = 20_000;

/// Minutes that are shown; older events are not counted live.
const SHOWN: i64 = 60;

#[derive(Default)]
struct Pending {
    counts: BTreeMap<AccountId, Minutes>,
    held: usize,
}

/// Counts what writes have committed.
pub struct Tally {
    cache: Cache,
    pending: Mutex<Pending>,
}

impl Tally {
    /// Counts into that Redis.
    pub fn new(cache: Cache) -> Self {
        Self { cache, pending: Mutex::default() }
    }

    /// Takes in the new events of a committed batch.
    pub fn add(&self, events: &[Event<'_>], written: &Written, now: Timestamp) {
        let oldest = now.unix_seconds().div_euclid(60) - SHOWN;
        let mut pending = self.pending.lock();
        let new = events.iter().zip(&written.new).filter(|(_, new)| **new);
        for (event, _) in new {
            let minute = event.timestamp.unix_seconds().div_euclid(60);
            if minute <= oldest {
                continue;
            }
            if !pending.add(&event.account_id, minute, &event.event_name) {
                metrics::uncounted();
            }
        }
    }

    /// Flushes until `stop`, and once more then.
    pub async fn run(&self, stop: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            self.flush().await;
        }
        self.flush().await;
    }

    async fn flush(&self) {
        let pending = std::mem::take(&mut *self.pending.lock());
        if !pending.counts.is_empty() {
            self.cache.count(&pending.counts).await;
        }
    }
}

impl Pending {
    /// Whether there was room.
    fn add(&mut self, account: &AccountId, minute: i64, name: &str) -> bool {
        let known = self.counts.get_mut(account).and_then(|minutes| minutes.get_mut(&minute)?.get_mut(name));
        if let Some(count) = known {
            *count += 1;
            return true;
        }
        if self.held == MAX_PENDING {
            return false;
        }
        self.held += 1;
        self.counts.entry(account.clone()).or_default().entry(minute).or_default().insert(name.to_owned(), 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_are_bounded() {
        let account = AccountId::new("a").expect("account");
        let mut pending = Pending::default();
        assert!(pending.add(&account, 1, "click") && pending.add(&account, 1, "click"));
        assert_eq!(pending.counts[&account][&1]["click"], 2);
        for n in 1..MAX_PENDING {
            assert!(pending.add(&account, 2, &n.to_string()));
        }
        assert!(!pending.add(&account, 3, "one too many"));
        assert!(pending.add(&account, 1, "click"));
    }
}
