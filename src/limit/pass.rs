//! A request that was let in. Invariant: its place is given back when it ends, however it ends.

use std::fmt;
use std::pin::pin;
use std::ptr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::domain::outcome::Policy;
use crate::domain::ring::Unit;
use crate::domain::usage::Use;

use super::account::Account;
use super::headers::{Fields, limit_field, refused_field};
use super::inflight::{Full, Held, Resource};
use super::pace::Pace;
use super::refusal::Refusal;
use super::room::Room;
use super::{Shared, inflight, metrics};

/// How long a request whose body was not read waits for room. A client that is told to come again sends its body in vain: at three times
/// what two cores can do, 2,000 connections wait for three seconds each when all wait, and half of their work is lost when none does.
const ROOM_PATIENCE: Duration = Duration::from_secs(5);

/// Time between looks of one who waits: room that was freed for one who needed more than that is found by whom it is enough for.
const ROOM_LOOK: Duration = Duration::from_millis(500);

/// See the module.
pub struct Pass {
    shared: Arc<Shared>,
    account: Arc<Account>,
    /// When it was let in: no charge of it is older.
    since: i64,
    /// Of the first charge that was refused.
    refusal: OnceLock<Refusal>,
    body: Mutex<Room>,
    _place: Held,
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("account", &self.account.id).finish_non_exhaustive()
    }
}

/// What came of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// The first so many events are charged.
    pub granted: usize,
    /// Why the others, or the bytes and with them all events, are not.
    pub refusal: Option<Refusal>,
}

impl Pass {
    pub(super) fn new(shared: Arc<Shared>, account: Arc<Account>, place: Held) -> Self {
        let since = shared.now();
        Self { shared, account, since, refusal: OnceLock::new(), body: Mutex::default(), _place: place }
    }

    /// Charges the bytes of a body, all or nothing, and then as many of its events, in order, as fit. Without waiting where a
    /// lease covers them; otherwise at most the charge deadline.
    pub async fn charge(&self, events: usize, bytes: usize) -> Charge {
        let need = [events, bytes].map(|units| i64::try_from(units).unwrap_or(i64::MAX));
        if self.account.take(need) {
            self.used([need[0], need[0], need[1]]);
            return Charge { granted: events, refusal: None };
        }
        let settled = self.shared.charge(&self.account, need).await;
        self.used([need[0], settled.granted[0].min(need[0]), need[1]]);
        if let Some(refusal) = &settled.refusal {
            metrics::refused(refusal);
            self.refusal.get_or_init(|| *refusal);
        }
        Charge { granted: usize::try_from(settled.granted[0]).unwrap_or(0).min(events), refusal: settled.refusal }
    }

    /// Charges the bytes of a body that nobody takes: they were read, so there is nothing to wait for or to refuse.
    pub fn debit(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.account.debit(Unit::Bytes, bytes);
        self.shared.list(&self.account);
        self.used([0, 0, bytes]);
    }

    /// Files what was offered, what of it was granted, and the bytes that brought it.
    fn used(&self, [offered, accepted, bytes]: [i64; 3]) {
        if offered > 0 || bytes > 0 {
            self.shared.used(&self.account, Use { offered, accepted, refused: offered - accepted, bytes });
        }
    }

    /// Gives events back whose publish definitely failed. Bytes stay charged: they were read.
    pub async fn refund(&self, events: usize) {
        if events == 0 {
            return;
        }
        let amount = i64::try_from(events).unwrap_or(i64::MAX);
        self.shared.used(&self.account, Use { accepted: -amount, ..Use::default() });
        if !self.account.counts(Unit::Events) {
            return;
        }
        self.account.book.lock().await.refund(self.since, amount);
        self.shared.list(&self.account);
    }

    /// Makes room for at least so many bytes of the request's body and for what they become, until the request ends.
    ///
    /// # Errors
    /// [`Full`]: the account's own cap, or everybody's.
    pub fn make_room(&self, bytes: usize) -> Result<(), Full> {
        self.grow(bytes).inspect_err(|full| inflight::file(Resource::Body, full))
    }

    /// The same for who has not been read yet: for [`ROOM_PATIENCE`] it waits its turn where the account, or all, have too much in flight.
    /// Who finds room at once does not queue behind those who wait, so the last tenth is still there for whoever comes new; who holds
    /// some does not wait for more, or those who do would wait for each other.
    ///
    /// # Errors
    /// As [`Pass::make_room`].
    pub async fn await_room(&self, bytes: usize) -> Result<(), Full> {
        let until = Instant::now() + ROOM_PATIENCE;
        let held = self.body.lock().is_any();
        let mut left: Option<&Notify> = None;
        loop {
            let full = self.grow(bytes).err();
            let freed = full.map(|full| self.shared.pools.freed(Resource::Body, &self.account.slots, &full));
            if let Some(turn) = left.take_if(|turn| !freed.is_some_and(|freed| ptr::eq(*turn, freed))) {
                // Who leaves a queue lets the next one look: there may be room for it too.
                turn.notify_one();
            }
            let Some(freed) = freed else { return Ok(()) };
            if held || !self.is_next(freed, bytes, until).await {
                return self.make_room(bytes);
            }
            left = Some(freed);
        }
    }

    /// Waits until it is this one's turn in a queue, or there is room before; whether it was its turn.
    async fn is_next(&self, freed: &Notify, bytes: usize, until: Instant) -> bool {
        // What is freed between the look and the wait is kept for the wait.
        let mut turn = pin!(freed.notified());
        loop {
            let look = until.min(Instant::now() + ROOM_LOOK);
            if timeout_at(look, turn.as_mut()).await.is_ok() {
                return true;
            }
            if look == until || self.grow(bytes).is_ok() {
                return false;
            }
        }
    }

    fn grow(&self, bytes: usize) -> Result<(), Full> {
        let (pools, weight) = (&self.shared.pools, self.weight());
        let take = |more| pools.try_take(Resource::Body, &self.account.slots, more, (i64::MAX, weight));
        self.body.lock().grow(bytes, pools.most(Resource::Body), take)
    }

    /// Takes a part of what is in flight for this account, until the guard is dropped.
    ///
    /// # Errors
    /// [`Full`]: the account's own cap, or everybody's.
    pub fn hold(&self, resource: Resource, amount: usize) -> Result<Held, Full> {
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        self.shared.pools.take(resource, &self.account.slots, amount, (i64::MAX, self.weight()))
    }

    fn weight(&self) -> i64 {
        self.account.plan.load().quota.weight
    }

    /// Why a charge of this request was refused, in whole or in part.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.get()
    }

    /// How to go on sending in batches of at most `most`, when little is left of a limit on events.
    pub fn pace(&self, most: usize) -> Option<Pace> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let tightest = self.account.tightest(self.shared.now(), |policy| policy != Policy::Bytes)?;
        Pace::of(&tightest, most)
    }

    /// What the answer says about limits.
    pub fn fields(&self) -> Fields {
        let policy = self.account.plan.load().announced.clone();
        let limit = match self.refusal() {
            Some(refusal) => refused_field(refusal),
            None => self.account.tightest(self.shared.now(), |_| true).as_ref().map(limit_field).unwrap_or_default(),
        };
        Fields { policy, limit: limit.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::poll;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::super::{Limiter, Quotas};
    use super::*;
    use crate::config::Config;
    use crate::domain::id::AccountId;

    /// Decides alone; bodies may take 1 MiB, an account nine tenths of it or so many KiB.
    fn limiter(own_kib: i64) -> Limiter {
        let mut config = Config::from_env().expect("defaults").limit;
        config.limit_global_body_kib = 1_024;
        config.limit_body_kib = own_kib;
        let quotas = Arc::new(Quotas::new(config.default_quota()));
        Limiter::start(&config, None, quotas, &TaskTracker::new(), CancellationToken::new())
    }

    fn pass(limiter: &Limiter, account: &str) -> Pass {
        limiter.gate(&AccountId::new(account).expect("id"), 0).expect("nothing is over")
    }

    /// More than what all may have.
    const ANY: i64 = 2_048;

    #[tokio::test]
    async fn who_finds_no_room_waits_and_all_who_fit_get_in_when_it_comes() {
        for own_kib in [ANY, 512] {
            let limiter = limiter(own_kib);
            let first = pass(&limiter, "whale");
            first.make_room(usize::MAX).expect("all an account may have");
            let (second, third) = (pass(&limiter, "whale"), pass(&limiter, "whale"));
            let (mut second_waits, mut third_waits) =
                (Box::pin(second.await_room(1_000)), Box::pin(third.await_room(1_000)));
            assert!(poll!(&mut second_waits).is_pending() && poll!(&mut third_waits).is_pending());
            pass(&limiter, "small").await_room(1_000).await.expect("there is room for others");
            drop(first);
            second_waits.await.expect("room");
            third_waits.await.expect("room for the next too");
        }
    }

    #[tokio::test]
    async fn who_leaves_one_queue_for_another_lets_the_next_one_look() {
        let limiter = limiter(512);
        let (first, other, third) = (pass(&limiter, "whale"), pass(&limiter, "other"), pass(&limiter, "third"));
        first.make_room(usize::MAX).expect("all an account may have");
        other.make_room(100 * 1_024).expect("400 KiB");
        let (large, small) = (pass(&limiter, "whale"), pass(&limiter, "whale"));
        let (mut large_waits, mut small_waits) =
            (Box::pin(large.await_room(100 * 1_024)), Box::pin(small.await_room(1_000)));
        assert!(poll!(&mut large_waits).is_pending() && poll!(&mut small_waits).is_pending());
        drop(first);
        third.make_room(125 * 1_024).expect("500 KiB: nearly the rest");
        assert!(poll!(&mut large_waits).is_pending(), "its account has room, and all together have not");
        assert_eq!(poll!(&mut small_waits), Poll::Ready(Ok(())));
        drop(other);
        large_waits.await.expect("room");
    }

    #[tokio::test]
    async fn room_that_is_too_little_for_the_first_who_waits_is_found_by_the_next() {
        let limiter = limiter(512);
        let (first, second) = (pass(&limiter, "whale"), pass(&limiter, "whale"));
        first.make_room(100 * 1_024).expect("400 KiB");
        second.make_room(28 * 1_024).expect("112 KiB");
        let (large, small) = (pass(&limiter, "whale"), pass(&limiter, "whale"));
        let (mut large_waits, mut small_waits) =
            (Box::pin(large.await_room(100 * 1_024)), Box::pin(small.await_room(1_000)));
        assert!(poll!(&mut large_waits).is_pending() && poll!(&mut small_waits).is_pending());
        drop(second);
        assert!(poll!(&mut large_waits).is_pending());
        small_waits.await.expect("room");
        drop(first);
        large_waits.await.expect("room");
    }

    #[tokio::test]
    async fn who_holds_room_does_not_wait_for_more() {
        let limiter = limiter(512);
        let (first, second) = (pass(&limiter, "whale"), pass(&limiter, "whale"));
        first.make_room(64 * 1_024).expect("256 KiB");
        second.make_room(64 * 1_024).expect("256 KiB");
        assert_eq!(poll!(Box::pin(first.await_room(65 * 1_024))), Poll::Ready(Err(FULL)));
    }

    /// An account that holds the 512 KiB it may.
    const FULL: Full = Full::Own { used: 512 * 1_024, cap: 512 * 1_024 };

    #[tokio::test]
    async fn who_waits_in_vain_is_refused() {
        let refused = async |own_kib, full| {
            let limiter = limiter(own_kib);
            let first = pass(&limiter, "whale");
            first.make_room(usize::MAX).expect("all an account may have");
            assert_eq!(pass(&limiter, "whale").await_room(1_000).await, Err(full));
            drop(first);
        };
        tokio::join!(refused(ANY, Full::All), refused(512, FULL));
    }
}
