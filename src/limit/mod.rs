//! What an account may take: gate before the body, charge after the check, and answers that say why.
//!
//! Invariant: while Redis answers, no enforced policy ever grants more than its capacity in its window, whatever the number of
//! instances; without Redis each instance keeps its own share, and nobody waits longer than the charge deadline for finding out.
//!
//! The way of a request: [`Limiter::gate`] → body → [`Pass::charge`] → (log) → [`Pass::refund`] where the log definitely refused.
//! Bounds and their proofs: `docs/fairness.md`.

mod account;
mod accounts;
mod book;
mod headers;
mod inflight;
mod metrics;
mod mode;
mod pace;
mod pass;
mod peer;
mod plan;
mod quotas;
mod refusal;
mod room;
#[cfg(test)]
mod simulation;
mod spends;
#[cfg(test)]
mod tests;
mod tick;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::limiter::Windows;
use crate::config::LimitConfig;
use crate::domain::id::AccountId;
use crate::domain::quota::{Mode as QuotaMode, Quota};
use crate::domain::ring::Rule;
use crate::domain::time::Timestamp;
use crate::domain::usage::Use;

use account::Account;
use accounts::Accounts;
use book::{Moment, Settled};
use inflight::Pools;
use mode::Mode;

pub use headers::Fields;
pub use inflight::{Full, Held, Resource};
pub use pace::Pace;
pub use pass::{Charge, Pass};
pub use peer::{Peers, client_address};
pub use quotas::Quotas;
pub use refusal::{LimitsView, PolicyView, Refusal};
pub use usage::Used;

/// The limits of this instance. Cheap to clone.
#[derive(Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

struct Shared {
    instance: Arc<str>,
    instances: AtomicI64,
    windows: Option<Windows>,
    quotas: Arc<Quotas>,
    peers: Peers,
    accounts: Accounts,
    /// Accounts the tick looks after.
    listed: parking_lot::Mutex<Vec<Arc<Account>>>,
    /// Accounts with use that nobody has taken.
    using: parking_lot::Mutex<Vec<Arc<Account>>>,
    mode: Mode,
    pools: Pools,
    tick: Duration,
    deadline: Duration,
    started: (Instant, i64),
}

/// Why a request does not even get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The account is over a policy: 429 or 402, and what the answer says about limits.
    Limited(Refusal, Fields),
    /// This instance has too much in flight: 503.
    Busy,
}

impl Limiter {
    /// Makes the limiter and starts its tick, which ends, its leases returned, with `shutdown`. Without `windows` this instance
    /// decides alone.
    pub fn start(
        config: &LimitConfig,
        windows: Option<Windows>,
        quotas: Arc<Quotas>,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let alone = windows.is_none();
        let shared = Arc::new(Shared {
            instance: uuid::Uuid::new_v4().simple().to_string().into(),
            instances: AtomicI64::new(1),
            windows,
            quotas,
            peers: Peers::new(config),
            accounts: Accounts::new(),
            listed: parking_lot::Mutex::default(),
            using: parking_lot::Mutex::default(),
            mode: Mode::new(alone),
            pools: Pools::new(config),
            tick: config.tick(),
            deadline: config.charge_deadline(),
            started: (Instant::now(), Timestamp::now().micros()),
        });
        metrics::announce();
        metrics::instances(1);
        tasks.spawn(tick::run(Arc::clone(&shared), shutdown));
        Self { shared }
    }

    /// Lets a request that brings events in, before its body is read: by the local view only, so that a refusal is cheap.
    /// `declared` is the length the request announces, 0 when it announces none.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn gate(&self, id: &AccountId, declared: i64) -> Result<Pass, Closed> {
        let account = self.shared.account(id);
        // How many events it would have brought nobody knows.
        let unread = Use { offered: 1, accepted: 0, refused: 1, bytes: declared };
        if let Some(refusal) = account.refused_unread(declared, self.shared.now()) {
            self.shared.used(&account, unread);
            return Err(closed(&account, refusal));
        }
        self.shared.enter(Arc::clone(&account)).inspect_err(|why| {
            if matches!(why, Closed::Limited(..)) {
                self.shared.used(&account, unread);
            }
        })
    }

    /// Lets a request in that brings no events: only the requests in flight are looked at.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn enter(&self, id: &AccountId) -> Result<Pass, Closed> {
        self.shared.enter(self.shared.account(id))
    }

    /// The limits of an account and its use of them, asked afresh where Redis answers.
    pub async fn view(&self, id: &AccountId) -> LimitsView {
        let account = self.shared.account(id);
        self.shared.refresh(&account).await;
        self.shared.view(&account)
    }

    /// The limit of addresses.
    pub fn peers(&self) -> &Peers {
        &self.shared.peers
    }

    /// Instances that share the limits, as last heard; at least this one.
    pub fn instances(&self) -> u64 {
        self.shared.instances.load(Ordering::Relaxed).max(1).unsigned_abs()
    }

    /// Whether this instance decides alone.
    pub fn is_alone(&self) -> bool {
        self.shared.mode.is_alone()
    }
}

/// The window's rules of a quota at `now`: those the limiter itself decides by.
pub fn rules(id: &AccountId, quota: Quota, now: Timestamp) -> Arc<[Rule]> {
    plan::Plan::new(id, quota, now, now).rules
}

impl Shared {
    /// Microseconds since the epoch that never go back: the wall clock at the start plus what has passed since.
    fn now(&self) -> i64 {
        let (started, at) = self.started;
        at + i64::try_from(started.elapsed().as_micros()).unwrap_or(0)
    }

    fn moment(&self) -> Moment {
        let tick = i64::try_from(self.tick.as_micros()).unwrap_or(i64::MAX);
        Moment {
            instance: Arc::clone(&self.instance),
            instances: self.instances.load(Ordering::Relaxed).max(1),
            tick,
            now: self.now(),
        }
    }

    fn account(&self, id: &AccountId) -> Arc<Account> {
        let now = self.now();
        let account = self.accounts.get(id, || {
            let time = Timestamp::from_micros(now).unwrap_or_else(|_| Timestamp::now());
            Account::new(id.clone(), self.quotas.plan(id, time), now)
        });
        account.seen.store(now, Ordering::Relaxed);
        if account.is_stale(&self.quotas, now)
            && let Ok(mut book) = account.book.try_lock()
        {
            account.renew_plan(&mut book, &self.quotas, now);
        }
        account
    }

    fn enter(self: &Arc<Self>, account: Arc<Account>) -> Result<Pass, Closed> {
        let quota = account.plan.load().quota;
        let own_cap = if quota.concurrent.mode == QuotaMode::Enforce { quota.concurrent.limit } else { i64::MAX };
        match self.pools.take(Resource::Requests, &account.slots, 1, (own_cap, quota.weight)) {
            Ok(slot) => {
                let shadow = quota.concurrent.mode == QuotaMode::Shadow;
                if shadow && account.slots.used(Resource::Requests) > quota.concurrent.limit {
                    metrics::shadowed_request();
                }
                Ok(Pass::new(Arc::clone(self), account, slot))
            }
            Err(Full::Own { used, cap }) => Err(closed(&account, Refusal::concurrent(cap, used + 1))),
            Err(Full::All) => Err(Closed::Busy),
        }
    }

    fn view(&self, account: &Account) -> LimitsView {
        account.view(account.slots.used(Resource::Requests), self.now())
    }

    /// A charge that no lease covers: one question an account at a time; whoever waited looks at the leases again first.
    async fn charge(&self, account: &Arc<Account>, need: [i64; 2]) -> Settled {
        let everything = Settled { granted: need, refusal: None };
        let refused = |refusal| Settled { granted: [0; 2], refusal: Some(refusal) };
        if let Some(refusal) = account.refused(need, self.now()) {
            return refused(refusal);
        }
        let _waiting = Waiting::new(account, need);
        let mut book = account.book.lock().await;
        let mut moment = self.moment();
        account.renew_plan(&mut book, &self.quotas, moment.now);
        if !account.plan.load().counts(need) || account.take(need) {
            return everything;
        }
        if let Some(refusal) = account.refused(need, moment.now) {
            return refused(refusal);
        }
        let mut ask = book.question(account, need, &moment);
        self.list(account);
        if let Some(windows) = self.windows.as_ref().filter(|_| !self.mode.is_alone()) {
            metrics::asked();
            ask = book.tell(ask, &moment);
            match windows.ask(&account.id, &ask, self.deadline).await {
                Ok(answer) => {
                    self.mode.answered();
                    return book.settle(account, &ask, answer, &moment);
                }
                Err(error) => self.mode.failed(&error),
            }
        }
        moment.now = self.now();
        book.decide_alone(account, ask, &moment)
    }

    /// Asks for the use of an account without charging anything.
    async fn refresh(&self, account: &Arc<Account>) {
        let Some(windows) = self.windows.as_ref().filter(|_| !self.mode.is_alone()) else { return };
        let mut book = account.book.lock().await;
        let moment = self.moment();
        account.renew_plan(&mut book, &self.quotas, moment.now);
        let ask = book.question(account, [0; 2], &moment);
        let ask = book.tell(ask, &moment);
        self.list(account);
        match windows.ask(&account.id, &ask, self.deadline).await {
            Ok(answer) => {
                self.mode.answered();
                book.settle(account, &ask, answer, &moment);
            }
            Err(error) => self.mode.failed(&error),
        }
    }

    /// Puts the account among those the tick looks after.
    fn list(&self, account: &Arc<Account>) {
        if !account.listed.swap(true, Ordering::AcqRel) {
            self.listed.lock().push(Arc::clone(account));
        }
    }
}

fn closed(account: &Account, refusal: Refusal) -> Closed {
    metrics::refused(&refusal);
    let policy = account.plan.load().announced.clone();
    Closed::Limited(refusal, Fields { policy, limit: headers::refused_field(&refusal).into() })
}

/// What a request waits for, so that the one who asks asks for all.
struct Waiting<'a> {
    account: &'a Account,
    need: [i64; 2],
}

impl<'a> Waiting<'a> {
    fn new(account: &'a Account, need: [i64; 2]) -> Self {
        for (waiting, need) in account.waiting.iter().zip(need) {
            waiting.fetch_add(need, Ordering::Relaxed);
        }
        Self { account, need }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for (waiting, need) in self.account.waiting.iter().zip(self.need) {
            waiting.fetch_sub(need, Ordering::Relaxed);
        }
    }
}
