//! How many questions of one account Postgres answers at the same time. Invariant: one account never holds more connections than
//! its share, whatever it asks for, so the others find free ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{QueryError, metrics};
use crate::domain::id::AccountId;

/// How long a question waits for one of its own account to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Questions that wait, per question that runs: beyond, the account is told at once.
const WAITING_PER_RUNNING: usize = 8;

/// Accounts remembered before those that ask nothing are forgotten.
const SWEEP_AT: usize = 1_024;

/// Permits by account.
pub(super) struct Gate {
    accounts: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
    running: usize,
}

/// Leave to ask Postgres one question.
pub(super) struct Permit {
    _slot: OwnedSemaphorePermit,
}

impl Gate {
    pub(super) fn new(per_account: u32) -> Self {
        Self { accounts: Mutex::default(), running: per_account as usize }
    }

    /// Waits a moment for the account's share.
    pub(super) async fn enter(&self, account: &AccountId) -> Result<Permit, QueryError> {
        let share = self.share(account);
        // Whoever holds or waits for a permit holds the share, too; one more is in the table.
        let present = Arc::strong_count(&share) - 1;
        if present <= self.running * (1 + WAITING_PER_RUNNING)
            && let Ok(Ok(slot)) = timeout(PATIENCE, share.acquire_owned()).await
        {
            return Ok(Permit { _slot: slot });
        }
        metrics::crowded();
        Err(QueryError::Concurrent)
    }

    fn share(&self, account: &AccountId) -> Arc<Semaphore> {
        let mut accounts = self.accounts.lock();
        if let Some(share) = accounts.get(account) {
            return Arc::clone(share);
        }
        if accounts.len() >= SWEEP_AT {
            accounts.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let share = Arc::new(Semaphore::new(self.running));
        accounts.insert(account.clone(), Arc::clone(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> AccountId {
        AccountId::new(name).expect("account")
    }

    #[tokio::test]
    async fn an_account_over_its_share_waits_and_then_is_refused_while_others_pass() {
        let gate = Gate::new(2);
        let first = gate.enter(&account("a")).await.expect("first");
        let _second = gate.enter(&account("a")).await.expect("second");
        assert!(matches!(gate.enter(&account("a")).await, Err(QueryError::Concurrent)));
        assert!(gate.enter(&account("b")).await.is_ok());
        drop(first);
        assert!(gate.enter(&account("a")).await.is_ok());
    }

    #[tokio::test]
    async fn accounts_that_ask_nothing_are_forgotten() {
        let gate = Gate::new(1);
        let _held = gate.enter(&account("held")).await.expect("held");
        for n in 0..3_000 {
            drop(gate.enter(&account(&format!("a{n}"))).await.expect("entry"));
        }
        let accounts = gate.accounts.lock();
        assert!(accounts.len() <= SWEEP_AT && accounts.contains_key(&account("held")), "{}", accounts.len());
    }
}
