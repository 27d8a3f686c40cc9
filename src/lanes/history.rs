//! What became of an account's lanes. Invariant: it is for operators only.

use crate::domain::id::AccountId;
use crate::domain::lane::LaneMove;
use crate::operators::OperatorError;
use crate::store::LaneStore;

/// Moves of accounts, as kept. Cheap to clone.
#[derive(Clone)]
pub struct History {
    store: LaneStore,
}

impl History {
    /// Out of that store.
    pub fn new(store: LaneStore) -> Self {
        Self { store }
    }

    /// The last moves of an account, the newest first.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn of(&self, account: &AccountId) -> Result<Vec<LaneMove>, OperatorError> {
        Ok(self.store.history(account).await?)
    }
}
