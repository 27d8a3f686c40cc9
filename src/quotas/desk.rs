//! Where operators read and change quotas. Invariant: what is answered was read from Postgres, not from an instance's copy, and a change
//! is announced only after its commit.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::Semaphore;

use super::{AuditFilter, AuditRow, Author, CHANNEL, OperatorError, OverrideRow, QuotaChange, QuotaChanged};
use crate::cache::Cache;
use crate::domain::id::AccountId;
use crate::domain::quota::{Quota, StoredQuota};
use crate::domain::time::Timestamp;
use crate::limit::Quotas;
use crate::store::QuotaStore;

/// Most rows of a page.
const MAX_PAGE: u16 = 250;

/// What an account may do now, and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What is stored, overrides that have not ended among it.
    pub stored: StoredQuota,
    /// What holds now.
    pub effective: Quota,
}

/// Overrides, the latest made first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverridePage {
    /// The overrides.
    pub overrides: Vec<OverrideRow>,
    /// Ask with it for the next page; `None` at the end.
    pub next_cursor: Option<String>,
}

/// Changes, the latest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// The changes.
    pub rows: Vec<AuditRow>,
    /// Ask with it for the next page; `None` at the end.
    pub next_cursor: Option<String>,
}

/// Reads and changes quotas. Cheap to clone.
#[derive(Clone)]
pub struct QuotaDesk {
    pub(super) store: QuotaStore,
    pub(super) quotas: Arc<Quotas>,
    pub(super) cache: Cache,
    /// One trial at a time.
    pub(super) trials: Arc<Semaphore>,
}

impl QuotaDesk {
    /// Over the store; `quotas` knows the defaults, `cache` passes the word of a change.
    pub fn new(store: QuotaStore, quotas: Arc<Quotas>, cache: Cache) -> Self {
        Self { store, quotas, cache, trials: Arc::new(Semaphore::new(1)) }
    }

    /// What an account may do at `now`.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn standing(&self, account: &AccountId, now: Timestamp) -> Result<Standing, OperatorError> {
        let stored = self.store.stored(account, now).await?;
        let effective = stored.effective(self.quotas.default_quota(), now);
        Ok(Standing { stored, effective })
    }

    /// Makes a change, if the account stands as its author saw it, and tells every instance.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn change(
        &self,
        account: &AccountId,
        change: &QuotaChange,
        author: &Author,
    ) -> Result<QuotaChanged, OperatorError> {
        let changed = self.store.change(account, change, author).await?;
        if let QuotaChanged::Done { version, .. } = changed {
            tracing::info!(account.id = %account, actor = %author.actor, version, "an operator changed a quota");
            self.cache.announce(CHANNEL).await;
        }
        Ok(changed)
    }

    /// Overrides of an account, those that have ended among them.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn overrides(
        &self,
        account: &AccountId,
        cursor: Option<&str>,
        limit: u16,
    ) -> Result<OverridePage, OperatorError> {
        let limit = usize::from(limit.clamp(1, MAX_PAGE));
        let mut overrides = self.store.overrides(account, read_cursor(cursor)?, more_than(limit)).await?;
        let more = overrides.len() > limit;
        overrides.truncate(limit);
        let next_cursor = overrides.last().filter(|_| more).map(|last| write_cursor(last.change.id));
        Ok(OverridePage { overrides, next_cursor })
    }

    /// What operators changed.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        cursor: Option<&str>,
        limit: u16,
    ) -> Result<AuditPage, OperatorError> {
        let limit = usize::from(limit.clamp(1, MAX_PAGE));
        let mut rows = self.store.audit(filter, read_cursor(cursor)?, more_than(limit)).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| write_cursor(last.audit_id));
        Ok(AuditPage { rows, next_cursor })
    }
}

/// One more than asked tells whether there is a next page.
fn more_than(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

fn write_cursor(id: i64) -> String {
    URL_SAFE_NO_PAD.encode(id.to_string())
}

fn read_cursor(cursor: Option<&str>) -> Result<Option<i64>, OperatorError> {
    let Some(cursor) = cursor else { return Ok(None) };
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let id = text.and_then(|text| text.parse().ok()).filter(|id| *id > 0 && write_cursor(*id) == cursor);
    id.map(Some).ok_or(OperatorError::Cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_hold_a_number() {
        assert_eq!(read_cursor(None).ok(), Some(None));
        assert_eq!(read_cursor(Some(&write_cursor(17))).ok(), Some(Some(17)));
        for bad in ["", "17", "%", &URL_SAFE_NO_PAD.encode("-1"), &URL_SAFE_NO_PAD.encode("017")] {
            assert!(read_cursor(Some(bad)).is_err(), "{bad}");
        }
    }
}
