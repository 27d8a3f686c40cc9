//! How many streams there may be. Invariant: a place is counted until it is dropped, and neither bound is ever exceeded.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{StreamError, metrics};
use crate::domain::id::AccountId;

/// The streams of one process.
#[derive(Clone)]
pub(super) struct Places {
    open: Arc<Mutex<Open>>,
    most: usize,
    most_per_account: usize,
}

#[derive(Default)]
struct Open {
    all: usize,
    accounts: HashMap<AccountId, usize>,
}

/// One stream's place.
pub(super) struct Place {
    places: Places,
    account: AccountId,
}

impl Places {
    pub(super) fn new(most: usize, most_per_account: usize) -> Self {
        Self { open: Arc::default(), most, most_per_account }
    }

    /// A place for one more stream of the account.
    pub(super) fn take(&self, account: &AccountId) -> Result<Place, StreamError> {
        let mut open = self.open.lock();
        if open.all >= self.most {
            return Err(StreamError::Full);
        }
        let own = open.accounts.get(account).copied().unwrap_or(0);
        if own >= self.most_per_account {
            return Err(StreamError::Concurrent(self.most_per_account));
        }
        open.accounts.insert(account.clone(), own + 1);
        open.all += 1;
        metrics::open(open.all);
        Ok(Place { places: self.clone(), account: account.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.open.lock();
        open.all -= 1;
        metrics::open(open.all);
        match open.accounts.get_mut(&self.account) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(open.accounts.remove(&self.account)),
        }
    }
}

#[cfg(test)]
mod tests {
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
}
