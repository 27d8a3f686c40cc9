//! How fresh an answer is, and waiting until it is fresh enough. Invariant: whoever waited for a receipt reads from the primary
//! and past every cache, so the answer has it; and a process asks how far the log is at most 25 times a second, however many
//! wait.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache as ProcessCache;
use tokio::time::{Instant, sleep};

use super::QueryError;
use crate::domain::id::AccountId;
use crate::domain::receipt::{Receipt, ReceiptSealer, Shown};
use crate::domain::time::{SECOND, Timestamp};
use crate::store::{ApiStore, Database, NextOffset, ReadError, Seen};

/// How long a reader waits for its receipt.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at the progress of the log.
const PAUSE: Duration = Duration::from_millis(40);

/// Up to when an answer is complete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Freshness {
    /// Everything the account sent that was received before this time is in the answer; `None` until anything was stored.
    pub data_as_of: Option<Timestamp>,
    /// Seconds between `data_as_of` and the answer.
    pub lag_seconds: Option<f64>,
    /// Whether a read replica answered; `data_as_of` is then what the replica has.
    pub replica: bool,
}

impl Freshness {
    pub(super) fn new(data_as_of: Option<Timestamp>, replica: bool, now: Timestamp) -> Self {
        let lag_seconds = data_as_of.map(|as_of| now.micros_since(as_of).max(0) as f64 / SECOND as f64);
        Self { data_as_of, lag_seconds, replica }
    }

    pub(super) fn of<T>(seen: &Seen<T>, now: Timestamp) -> Self {
        Self::new(seen.data_as_of, seen.replica, now)
    }
}

/// Waits for receipts.
pub(super) struct Watch {
    store: ApiStore,
    sealer: ReceiptSealer,
    progress: ProcessCache<(), Arc<[NextOffset]>>,
}

impl Watch {
    pub(super) fn new(store: ApiStore, sealer: ReceiptSealer) -> Self {
        let progress = ProcessCache::builder().max_capacity(1).time_to_live(PAUSE).build();
        Self { store, sealer, progress }
    }

    /// Who must answer a reader that shows this receipt, if any, once its event counts.
    pub(super) async fn wait(&self, account: &AccountId, receipt: Option<&str>) -> Result<Database, QueryError> {
        let Some(text) = receipt else { return Ok(Database::Usual) };
        let shown = self.open(account, text)?;
        let until = Instant::now() + PATIENCE;
        while !self.is_settled(&shown.receipt).await? {
            if Instant::now() >= until {
                return Err(QueryError::NotCounted);
            }
            sleep(PAUSE).await;
        }
        Ok(Database::Primary)
    }

    pub(super) fn open(&self, account: &AccountId, text: &str) -> Result<Shown, QueryError> {
        self.sealer.open(account, text).ok_or(QueryError::Receipt)
    }

    /// Whether the log is settled past the receipt: its event is stored and counted, or set aside.
    async fn is_settled(&self, receipt: &Receipt) -> Result<bool, Arc<ReadError>> {
        let load = async { Ok::<_, ReadError>(self.store.next_offsets().await?.into()) };
        let progress = self.progress.try_get_with((), load).await?;
        let next = progress.iter().find(|next| next.topic == receipt.topic && next.partition == receipt.partition);
        Ok(next.is_some_and(|next| next.offset > receipt.offset))
    }
}
