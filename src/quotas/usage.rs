//! Use on its way from the limiter to Postgres. Each instance tells Redis its seconds, a minute as a whole; one of them, who leads, adds them
//! up and writes minutes. Invariant: telling, rolling up and dying in between can be repeated without counting anything twice.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::fairness::FairnessDesk;
use super::metrics;
use crate::cache::{Cache, MinuteOf};
use crate::config::LimitConfig;
use crate::domain::time::Timestamp;
use crate::domain::usage::{Minute, Seconds};
use crate::limit::Limiter;
use crate::store::{QuotaStore, ReadError};

/// A minute is kept this long after its end, in seconds, in case a late second joins it.
const LATE: i64 = 120;

/// Most minutes of accounts kept while Redis is away: about 100 MB at the very worst.
const MOST: usize = 50_000;

/// Minutes rolled up in one step.
const STEP: usize = 1_000;

/// What the gauges of fairness look at.
const MEASURED_MINUTES: i64 = 5;
const MEASURED_HOURS: i64 = 2;

/// Who leads may be silent for so many rounds.
const LEASE_ROUNDS: u32 = 3;

/// Tells what accounts used on this instance.
pub struct Teller {
    limiter: Limiter,
    cache: Cache,
    instance: String,
    held: BTreeMap<MinuteOf, Held>,
}

#[derive(Debug, Default)]
struct Held {
    seconds: Seconds,
    untold: bool,
}

impl Teller {
    /// A teller for this instance.
    pub fn new(limiter: Limiter, cache: Cache) -> Self {
        let instance = uuid::Uuid::new_v4().simple().to_string();
        Self { limiter, cache, instance, held: BTreeMap::new() }
    }

    /// Tells every so often until `stop`, and once more.
    pub async fn run(mut self, every: Duration, stop: CancellationToken) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = ticks.tick() => {}
            }
            self.tell(Timestamp::now().unix_seconds()).await;
        }
    }

    async fn tell(&mut self, now: i64) {
        for (account, seconds) in self.limiter.take_usage() {
            for (second, used) in seconds {
                let minute = second.div_euclid(60) * 60;
                let held = self.held.entry((minute, account.clone())).or_default();
                held.seconds.entry(u8::try_from(second - minute).unwrap_or(0)).or_default().add(&used);
                held.untold = true;
            }
        }
        let untold = self.held.iter().filter(|(_, held)| held.untold);
        let untold: Vec<_> = untold.map(|(of, held)| (of.clone(), held.seconds.clone())).collect();
        if untold.is_empty() || self.cache.tell_usage(&self.instance, &untold).await {
            self.held.values_mut().for_each(|held| held.untold = false);
        }
        self.held.retain(|(minute, _), held| held.untold || minute + 60 + LATE > now);
        let mut dropped = 0;
        while self.held.len() > MOST && self.held.pop_first().is_some() {
            dropped += 1;
        }
        metrics::dropped(dropped);
    }
}

/// Writes minutes of all instances to Postgres, while this one leads.
pub struct RollUp {
    cache: Cache,
    store: QuotaStore,
    fairness: FairnessDesk,
    instance: String,
    every: Duration,
    /// Seconds minutes are kept.
    keep: i64,
}

impl RollUp {
    /// A candidate for the lead.
    pub fn new(cache: Cache, store: QuotaStore, fairness: FairnessDesk, config: &LimitConfig) -> Self {
        let instance = uuid::Uuid::new_v4().simple().to_string();
        let keep = i64::from(config.usage_days) * 86_400;
        Self { cache, store, fairness, instance, every: Duration::from_millis(config.usage_roll_up_ms), keep }
    }

    /// Rolls up every so often until `stop`, whenever it leads.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let forever = async {
            loop {
                ticks.tick().await;
                let leads = self.cache.leads_usage(&self.instance, self.every * LEASE_ROUNDS).await;
                metrics::leads(leads);
                if !leads {
                    metrics::fairness(None);
                } else if let Err(error) = self.roll_up(Timestamp::now().unix_seconds()).await {
                    metrics::roll_up_failed(&error);
                } else {
                    let found = self.fairness.fairness(MEASURED_MINUTES, MEASURED_HOURS, Timestamp::now()).await;
                    metrics::fairness(found.as_ref().ok());
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = forever => {}
        }
    }

    async fn roll_up(&self, now: i64) -> Result<(), ReadError> {
        loop {
            let due = self.cache.usage_to_roll_up(STEP).await;
            let Some(found) = self.cache.usage_of(&due).await.filter(|_| !due.is_empty()) else { break };
            let minutes = due.iter().zip(&found).filter(|(_, seconds)| !seconds.is_empty());
            let minutes: Vec<_> =
                minutes.map(|((at, account), seconds)| (account.clone(), Minute::of(*at, seconds))).collect();
            self.store.put_usage(&minutes).await?;
            metrics::rolled_up(minutes.len());
            self.cache.usage_rolled_up(&due).await;
            if due.len() < STEP {
                break;
            }
        }
        self.store.retire_usage(now - self.keep).await.map(drop)
    }
}
