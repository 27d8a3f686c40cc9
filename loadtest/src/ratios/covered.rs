//! What limits cost a request that a lease covers, without the rest of the request. Invariant: the very calls that the door makes
//! for a single, on the stack's own Redis; their cost is far below the noise of two loads beside each other.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir::cache::limiter::Windows;
use weir::config::{Config, Secret};
use weir::domain::id::AccountId;
use weir::domain::quota::{Limit, Quota};
use weir::limit::{Limiter, Quotas, Resource};

use super::alone::alone;
use crate::bench::{Arm, Sample};

/// Accounts that take turns, with one thing in flight each.
const ACCOUNTS: usize = 64;

/// Bytes of a single.
const BYTES: usize = 200;

/// Far more than is asked for, so that a refusal is a fault.
const ROOM: i64 = 1_000_000_000_000;

/// The limiter of the service in this process.
pub(super) struct Covered {
    runtime: tokio::runtime::Runtime,
    limiter: Limiter,
    accounts: Vec<AccountId>,
    end: CancellationToken,
}

impl Covered {
    /// `redis` is the port of the stack's Redis.
    pub(super) fn new(redis: u16) -> anyhow::Result<Self> {
        let mut config = Config::from_env().context("the service's defaults")?;
        config.redis.redis_url = Some(Secret::new(format!("redis://127.0.0.1:{redis}")));
        let quota = Quota {
            sustained: Limit::enforced(ROOM),
            burst: Limit::enforced(ROOM),
            bytes: Limit::enforced(ROOM),
            ..config.limit.default_quota()
        };
        let accounts = (0..ACCOUNTS).map(|n| AccountId::new(&format!("covered-{n}")));
        let accounts = accounts.collect::<Result<_, _>>().context("names of accounts")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let end = CancellationToken::new();
        let limiter = runtime.block_on(async {
            let windows = Windows::open(&config.redis).context("Redis")?;
            let quotas = Arc::new(Quotas::new(quota));
            anyhow::Ok(Limiter::start(&config.limit, Some(windows), quotas, &TaskTracker::new(), end.clone()))
        })?;
        Ok(Self { runtime, limiter, accounts, end })
    }

    async fn single(&self, account: &AccountId) -> anyhow::Result<()> {
        let pass = self.limiter.gate(account, BYTES as i64).map_err(|closed| anyhow::anyhow!("{closed:?}"))?;
        pass.make_room(BYTES).map_err(|full| anyhow::anyhow!("{full:?}"))?;
        let charge = pass.charge(1, BYTES).await;
        ensure!(charge.granted == 1, "refused: {:?}", charge.refusal);
        let _queued = pass.hold(Resource::Queue, 2 * BYTES).map_err(|full| anyhow::anyhow!("{full:?}"))?;
        black_box(pass.fields());
        Ok(())
    }
}

impl Drop for Covered {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Arm for Covered {
    fn name(&self) -> &str {
        "limits of a single, by themselves"
    }

    fn round(&mut self) -> anyhow::Result<Sample> {
        alone(&self.runtime, async || {
            for account in &self.accounts {
                self.single(account).await?;
            }
            // For the tick that renews.
            tokio::task::yield_now().await;
            Ok(ACCOUNTS as u64)
        })
    }
}
