//! An instance's copy of all quotas. Invariant: what is published is whole and of one look; a look that fails changes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::metrics;
use crate::cache::Channel;
use crate::domain::id::AccountId;
use crate::domain::quota::{QuotaPatch, StoredQuota};
use crate::domain::time::Timestamp;
use crate::limit::Quotas;
use crate::store::{QuotaStore, ReadError};

/// Topic of the word that something has changed.
pub const CHANNEL: &str = "quotas";

/// Accounts read in one step.
const STEP: i64 = 2_000;

/// How often everything is read anew, whatever the version says: after Postgres was restored from a backup it may lie.
const ANEW: Duration = Duration::from_secs(300);

/// How long the start of a process waits for the first look.
const FIRST: Duration = Duration::from_secs(1);

/// Follows what is stored and publishes it to the limiter and to the worker's shares.
pub struct Follower {
    store: QuotaStore,
    quotas: Arc<Quotas>,
    held: HashMap<AccountId, StoredQuota>,
    seen: i64,
    read_anew: Option<Instant>,
    away: bool,
}

impl Follower {
    /// A follower that has seen nothing yet.
    pub fn new(store: QuotaStore, quotas: Arc<Quotas>) -> Self {
        metrics::announce();
        Self { store, quotas, held: HashMap::new(), seen: 0, read_anew: None, away: false }
    }

    /// Looks once, for a moment at most, so that a process that starts with Postgres there begins with the quotas and not with the
    /// defaults.
    pub async fn first(&mut self) {
        if timeout(FIRST, self.look("poll")).await.is_err() {
            self.lost("no answer yet".into());
        }
    }

    /// Looks by the version every so often, and at once when a word is heard, until `stop`.
    pub async fn run(mut self, every: Duration, channel: Option<Channel>, stop: CancellationToken) {
        let word = Notify::new();
        let listening = async {
            match &channel {
                Some(channel) => channel.listen(|| word.notify_one()).await,
                None => std::future::pending().await,
            }
        };
        let looking = async {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let heard = tokio::select! {
                    _ = ticks.tick() => "poll",
                    () = word.notified() => "message",
                };
                self.look(heard).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = listening => {}
            () = looking => {}
        }
    }

    async fn look(&mut self, heard: &'static str) {
        match self.read().await {
            Ok(changed) => {
                if std::mem::take(&mut self.away) {
                    tracing::info!(version = self.seen, "quotas are followed again");
                }
                metrics::behind(false);
                if changed {
                    self.quotas.publish(self.held.clone());
                    metrics::published(self.seen, self.held.len(), heard);
                    tracing::debug!(version = self.seen, accounts = self.held.len(), heard, "quotas have changed");
                }
            }
            Err(error) => self.lost(error.into()),
        }
    }

    fn lost(&mut self, error: Box<dyn std::error::Error + Send + Sync>) {
        metrics::behind(true);
        if !std::mem::replace(&mut self.away, true) {
            let held = if self.read_anew.is_some() { "the last known hold" } else { "the defaults hold" };
            let cause = error.source().map(tracing::field::display);
            tracing::warn!(%error, cause, version = self.seen, "quotas cannot be read; {held}");
        }
    }

    /// Whether there was anything new.
    async fn read(&mut self) -> Result<bool, ReadError> {
        let version = self.store.version().await?;
        let anew = version < self.seen || self.read_anew.is_none_or(|read| read.elapsed() >= ANEW);
        if !anew && version == self.seen {
            return Ok(false);
        }
        let now = Timestamp::now();
        let (mut held, mut seen) = if anew { (HashMap::new(), 0) } else { (std::mem::take(&mut self.held), self.seen) };
        let read = loop {
            match self.store.changed_since(seen, now, STEP).await {
                Ok(found) => {
                    let whole = (found.len() as i64) < STEP;
                    for followed in found {
                        seen = seen.max(followed.stored.version);
                        let stored = followed.stored;
                        if stored.patch == QuotaPatch::default() && stored.overrides.is_empty() {
                            held.remove(&followed.account);
                        } else {
                            held.insert(followed.account, stored);
                        }
                    }
                    if whole {
                        break Ok(());
                    }
                }
                Err(error) => break Err(error),
            }
        };
        if anew && read.is_err() {
            return read.map(|()| false);
        }
        // What was read before a failure is kept: the next look goes on behind it.
        (self.held, self.seen) = (held, seen);
        read?;
        if anew {
            self.read_anew = Some(Instant::now());
        }
        self.seen = self.seen.max(version);
        Ok(true)
    }
}
