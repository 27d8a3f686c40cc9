//! What accounts may do, followed by every process that decides by it. Invariant: the first look comes before the first request, and
//! nothing waits for Postgres longer than a moment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Roles;
use crate::cache::{Cache, Channel};
use crate::config::{Config, LimitConfig};
use crate::domain::time::Timestamp;
use crate::limit::{Limiter, Quotas};
use crate::quotas::{CHANNEL, FairnessDesk, Follower, RollUp, Teller};
use crate::store::{QuotaStore, SliStore};
use crate::worker::Weights;

pub(super) struct Followed {
    pub(super) store: QuotaStore,
    pub(super) quotas: Arc<Quotas>,
}

impl Followed {
    /// Looks once and goes on following.
    pub(super) async fn open(
        config: &Config,
        roles: Roles,
        tasks: &TaskTracker,
        background: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let url = roles.database_url(&config.database)?;
        let store = QuotaStore::open(url, &config.database).map_err(anyhow::Error::from_boxed)?;
        let quotas = Arc::new(Quotas::new(config.limit.default_quota()));
        let word = config.redis.redis_url.is_some();
        let channel = word.then(|| Channel::open(&config.redis, CHANNEL)).transpose().context("REDIS_URL")?;
        let mut follower = Follower::new(store.clone(), Arc::clone(&quotas));
        follower.first().await;
        tasks.spawn(follower.run(config.operators.poll(), channel, background.clone()));
        Ok(Self { store, quotas })
    }

    /// Tells what accounts use here, and stands for the lead of those who write it down.
    pub(super) fn tell_usage(
        &self,
        config: &LimitConfig,
        (limiter, cache): (&Limiter, &Cache),
        sli: &SliStore,
        (tasks, background): (&TaskTracker, &CancellationToken),
    ) {
        let teller = Teller::new(limiter.clone(), cache.clone());
        tasks.spawn(teller.run(Duration::from_millis(config.usage_tell_ms), background.clone()));
        let roll_up = RollUp::new(cache.clone(), self.store.clone(), self.fairness(sli), config);
        tasks.spawn(roll_up.run(background.clone()));
    }

    /// What became of everybody's share.
    pub(super) fn fairness(&self, sli: &SliStore) -> FairnessDesk {
        FairnessDesk::new(self.store.clone(), sli.clone(), Arc::clone(&self.quotas))
    }

    /// How heavy accounts are when they share a worker.
    pub(super) fn weights(&self) -> Weights {
        let quotas = Arc::clone(&self.quotas);
        Weights::new(move |account| u64::try_from(quotas.effective(account, Timestamp::now()).weight).unwrap_or(1))
    }
}
