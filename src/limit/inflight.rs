//! What is in flight: requests, body bytes, bytes waiting for the log. Invariant: no account holds more than its cap nor more than
//! nine tenths of what there is, and the last tenth goes only to accounts below their share by weight.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::LimitConfig;

use super::metrics;

/// What runs short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Requests being handled.
    Requests,
    /// Bytes that request bodies in memory become.
    Body,
    /// Bytes handed to the log and not yet acknowledged.
    Queue,
}

impl Resource {
    pub(super) const ALL: [Self; 3] = [Self::Requests, Self::Body, Self::Queue];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Body => "body_bytes",
            Self::Queue => "queue_bytes",
        }
    }
}

/// Too much in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The account's own cap: its doing, 429.
    #[error("the account has {used} of {cap} in flight")]
    Own {
        /// In flight.
        used: i64,
        /// The account's cap.
        cap: i64,
    },
    /// The cap above all accounts: 503 and soon again.
    #[error("too much in flight")]
    All,
}

/// What one account has in flight.
#[derive(Debug, Default)]
pub(super) struct Slots([Arc<Slot>; 3]);

#[derive(Debug, Default)]
struct Slot {
    share: Mutex<Share>,
    /// The account gave something back.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Share {
    used: i64,
    /// Its weight in the pool's sum while `used` is not 0.
    weight: i64,
}

/// All resources of this instance.
#[derive(Debug)]
pub(super) struct Pools {
    pools: [Arc<Pool>; 3],
}

#[derive(Debug)]
struct Pool {
    resource: Resource,
    cap: i64,
    own_cap: i64,
    tally: Mutex<Tally>,
    /// Somebody gave something back.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Tally {
    used: i64,
    /// Of the accounts that have something in flight.
    weights: i64,
}

/// Gives back what it holds when dropped.
#[derive(Debug)]
pub struct Held {
    pool: Arc<Pool>,
    slot: Arc<Slot>,
    amount: i64,
}

impl Pools {
    pub(super) fn new(config: &LimitConfig) -> Self {
        let pool = |resource, cap, own_cap| Arc::new(Pool::new(resource, cap, own_cap));
        let kib = |kib: i64| kib.saturating_mul(1024);
        Self {
            pools: [
                pool(Resource::Requests, config.limit_global_concurrent, i64::MAX),
                pool(Resource::Body, kib(config.limit_global_body_kib), kib(config.limit_body_kib)),
                pool(Resource::Queue, kib(config.limit_global_queue_kib), kib(config.limit_queue_kib)),
            ],
        }
    }

    /// The most an account may hold of a resource.
    pub(super) fn most(&self, resource: Resource) -> i64 {
        let pool = &self.pools[resource as usize];
        pool.most().min(pool.own_cap)
    }

    /// Ends one wait, first come first, each time something was given back of what is full: by the account, or by anybody.
    pub(super) fn freed<'a>(&'a self, resource: Resource, slots: &'a Slots, full: &Full) -> &'a Notify {
        match full {
            Full::Own { .. } => &slots.0[resource as usize].freed,
            Full::All => &self.pools[resource as usize].freed,
        }
    }

    /// Takes `amount` for an account, and files it when there is none; `own_cap` narrows the pool's cap of an account.
    pub(super) fn take(
        &self,
        resource: Resource,
        slots: &Slots,
        amount: i64,
        bounds: (i64, i64),
    ) -> Result<Held, Full> {
        self.try_take(resource, slots, amount, bounds).inspect_err(|full| file(resource, full))
    }

    /// The same for one who may try again.
    pub(super) fn try_take(
        &self,
        resource: Resource,
        slots: &Slots,
        amount: i64,
        (own_cap, weight): (i64, i64),
    ) -> Result<Held, Full> {
        let (pool, slot) = (&self.pools[resource as usize], &slots.0[resource as usize]);
        pool.take(&mut slot.share.lock(), amount, own_cap.min(pool.own_cap), weight)?;
        Ok(Held { pool: Arc::clone(pool), slot: Arc::clone(slot), amount })
    }
}

/// Files one who found nothing left.
pub(super) fn file(resource: Resource, full: &Full) {
    metrics::full(resource, matches!(full, Full::Own { .. }));
}

impl Slots {
    pub(super) fn used(&self, resource: Resource) -> i64 {
        self.0[resource as usize].share.lock().used
    }
}

impl Pool {
    fn new(resource: Resource, cap: i64, own_cap: i64) -> Self {
        Self { resource, cap, own_cap, tally: Mutex::default(), freed: Notify::new() }
    }

    /// All but the last tenth.
    fn most(&self) -> i64 {
        self.cap - self.cap / 10
    }

    fn take(&self, held: &mut Share, amount: i64, own_cap: i64, weight: i64) -> Result<(), Full> {
        let own = held.used + amount;
        if own > own_cap {
            return Err(Full::Own { used: held.used, cap: own_cap });
        }
        let mut tally = self.tally.lock();
        let total = tally.used + amount;
        let most = self.most();
        if total > self.cap || own > most {
            return Err(Full::All);
        }
        let joining = if held.used == 0 { weight } else { 0 };
        let mine = if held.used == 0 { weight } else { held.weight };
        // One more weight than there are: room for whoever comes next.
        let share = self.cap.saturating_mul(mine) / (tally.weights + joining + 1);
        if total > most && own > share {
            return Err(Full::All);
        }
        tally.used = total;
        tally.weights += joining;
        held.weight = mine;
        held.used = own;
        Ok(())
    }
}

impl Held {
    /// What it holds it for.
    pub fn resource(&self) -> Resource {
        self.pool.resource
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut share = self.slot.share.lock();
        let mut tally = self.pool.tally.lock();
        share.used -= self.amount;
        tally.used -= self.amount;
        if share.used == 0 {
            tally.weights -= share.weight;
        }
        drop((tally, share));
        self.slot.freed.notify_one();
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Pools {
        /// The same cap for each resource, and none for an account.
        pub(in super::super) fn of(cap: i64) -> Self {
            let pool = |resource| Arc::new(Pool::new(resource, cap, i64::MAX));
            Self { pools: Resource::ALL.map(pool) }
        }
    }

    fn fill(pools: &Pools, slots: &Slots, own_cap: i64, weight: i64) -> (Vec<Held>, Full) {
        let mut held = Vec::new();
        loop {
            match pools.take(Resource::Body, slots, 1, (own_cap, weight)) {
                Ok(one) => held.push(one),
                Err(full) => return (held, full),
            }
        }
    }

    #[test]
    fn the_last_tenth_is_never_one_accounts() {
        let pools = Pools::of(1_000);
        let (whale, small, heavy) = (Slots::default(), Slots::default(), Slots::default());
        let (held, full) = fill(&pools, &whale, i64::MAX, 1);
        assert_eq!((held.len(), full), (900, Full::All));
        let (small_held, _) = fill(&pools, &small, i64::MAX, 1);
        assert_eq!(small_held.len(), 100);
        drop(small_held);
        drop(held);
        assert_eq!((whale.used(Resource::Body), small.used(Resource::Body)), (0, 0));
        let (held, _) = fill(&pools, &heavy, i64::MAX, 1_000);
        assert_eq!(held.len(), 900);
    }

    #[test]
    fn an_account_meets_its_own_cap_first() {
        let pools = Pools::of(1_000);
        let slots = Slots::default();
        let (held, full) = fill(&pools, &slots, 64, 1);
        assert_eq!((held.len(), full), (64, Full::Own { used: 64, cap: 64 }));
        drop(held);
        assert!(pools.take(Resource::Body, &slots, 64, (64, 1)).is_ok());
    }

    #[test]
    fn near_the_end_shares_go_by_weight() {
        let pools = Pools::of(1_000);
        let (first, second, third) = (Slots::default(), Slots::default(), Slots::default());
        let (first_held, _) = fill(&pools, &first, 450, 1);
        let (second_held, _) = fill(&pools, &second, 450, 3);
        assert_eq!(first_held.len() + second_held.len(), 900);
        assert_eq!(pools.take(Resource::Body, &first, 1, (1_000, 1)).err(), Some(Full::All));
        assert!(pools.take(Resource::Body, &second, 1, (1_000, 3)).is_ok(), "its share is 600");
        assert!(pools.take(Resource::Body, &third, 90, (1_000, 1)).is_ok());
    }
}
