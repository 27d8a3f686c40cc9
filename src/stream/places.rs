//! How many streams there may be, and how many of them may catch up. Invariant: a place is counted until it is dropped, no bound is
//! ever exceeded, and one account never holds more than half of the readers of old records, nor more than that many turns of the
//! queue for them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{StreamError, metrics};
use crate::domain::id::AccountId;

/// Readers of old records at the same time.
const CATCH_UPS: usize = 4;

/// How many of them one account may have: what it asks for must not keep all others waiting.
const CATCH_UPS_PER_ACCOUNT: usize = CATCH_UPS / 2;

/// The streams of one process.
#[derive(Clone)]
pub(super) struct Places {
    open: Arc<Mutex<Open>>,
    most: usize,
    most_per_account: usize,
    catch_ups: Arc<Semaphore>,
}

#[derive(Default)]
struct Open {
    all: usize,
    accounts: HashMap<AccountId, Share>,
}

/// What one account has.
struct Share {
    open: usize,
    catch_ups: Arc<Semaphore>,
}

/// Leave to read old records, of the account and of the process.
pub(super) struct CatchUp {
    _own: OwnedSemaphorePermit,
    _any: OwnedSemaphorePermit,
}

/// One stream's place.
pub(super) struct Place {
    places: Places,
    account: AccountId,
    catch_ups: Arc<Semaphore>,
}

/// A wait for it.
pub(super) type Leave = Pin<Box<dyn Future<Output = Option<CatchUp>> + Send + Sync>>;

impl Place {
    /// Waits for leave to catch up, first for the account's share, then in the queue of all. Whoever polls it keeps its place there.
    pub(super) fn catch_up(&self) -> Leave {
        let (own, any) = (Arc::clone(&self.catch_ups), Arc::clone(&self.places.catch_ups));
        Box::pin(async move {
            let own = own.acquire_owned().await.ok()?;
            Some(CatchUp { _own: own, _any: any.acquire_owned().await.ok()? })
        })
    }
}

impl Places {
    pub(super) fn new(most: usize, most_per_account: usize) -> Self {
        Self { open: Arc::default(), most, most_per_account, catch_ups: Arc::new(Semaphore::new(CATCH_UPS)) }
    }

    /// A place for one more stream of the account.
    pub(super) fn take(&self, account: &AccountId) -> Result<Place, StreamError> {
        let mut open = self.open.lock();
        if open.all >= self.most {
            return Err(StreamError::Full);
        }
        let share = open.accounts.entry(account.clone()).or_insert_with(Share::new);
        if share.open >= self.most_per_account {
            return Err(StreamError::Concurrent(self.most_per_account));
        }
        share.open += 1;
        let catch_ups = Arc::clone(&share.catch_ups);
        open.all += 1;
        metrics::open(open.all);
        Ok(Place { places: self.clone(), account: account.clone(), catch_ups })
    }
}

impl Share {
    fn new() -> Self {
        Self { open: 0, catch_ups: Arc::new(Semaphore::new(CATCH_UPS_PER_ACCOUNT)) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.open.lock();
        open.all -= 1;
        metrics::open(open.all);
        match open.accounts.get_mut(&self.account) {
            Some(share) if share.open > 1 => share.open -= 1,
            _ => drop(open.accounts.remove(&self.account)),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn both_bounds_hold_and_places_come_back() {
        let places = Places::new(3, 2);
        let account = |name| AccountId::new(name).expect("account");
        let first = places.take(&account("a")).expect("first");
        let _second = places.take(&account("a")).expect("second");
        assert!(matches!(places.take(&account("a")), Err(StreamError::Concurrent(2))));
        let _third = places.take(&account("b")).expect("third");
        assert!(matches!(places.take(&account("c")), Err(StreamError::Full)));
        drop(first);
        assert!(places.take(&account("a")).is_ok());
        assert_eq!(places.open.lock().accounts.len(), 2);
    }
    #[test]
    fn an_account_that_comes_back_with_all_its_streams_leaves_readers_for_others() {
        let places = Places::new(20, 10);
        let account = |name| AccountId::new(name).expect("account");
        let greedy: Vec<_> = (0..10).map(|_| places.take(&account("greedy")).expect("place")).collect();
        let mut waiting: Vec<_> = greedy.iter().map(Place::catch_up).collect();
        let mut running: Vec<_> = waiting.iter_mut().filter_map(|leave| leave.now_or_never().flatten()).collect();
        assert_eq!(running.len(), CATCH_UPS_PER_ACCOUNT);
        let other = places.take(&account("other")).expect("place");
        let theirs: Vec<_> = (0..3).filter_map(|_| other.catch_up().now_or_never().flatten()).collect();
        assert_eq!(theirs.len(), CATCH_UPS - CATCH_UPS_PER_ACCOUNT, "the other account found its readers at once");
        // One that ends gives way to the next of its own account.
        drop(running.pop());
        let next = waiting.iter_mut().skip(CATCH_UPS_PER_ACCOUNT).find_map(|leave| leave.now_or_never().flatten());
        assert!(next.is_some());
    }
}
