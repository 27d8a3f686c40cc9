//! Waiting until events are in the store, for those who ask. Invariant: the wait is bounded, and whatever goes wrong in it only
//! turns the 200 into the 202 the events have earned already.

use std::time::Duration;

use poem_openapi::Enum;
use tokio::time::{Instant, sleep};

use super::caller::Caller;
use crate::domain::id::EventId;

/// Longest wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// First and longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// What the answer is to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "Wait", rename_all = "snake_case")]
pub(super) enum Wait {
    /// The events are in the store
    Stored,
}

/// Waits until all these events are in the store; whether they are.
pub(super) async fn all_stored<N>(caller: &Caller<N>, ids: &[EventId]) -> bool {
    let (now, queries) = (Instant::now(), &caller.components.queries);
    // A moment is left for writing the answer before our own deadline.
    let left = caller.context.deadline.saturating_duration_since(now);
    let until = now + PATIENCE.min(left.saturating_sub(left / 8));
    let mut pause = PAUSES.0;
    loop {
        match queries.all_stored(&caller.tenant.account_id, ids).await {
            Ok(true) => return true,
            Ok(false) if Instant::now() + pause < until => sleep(pause).await,
            Ok(false) | Err(_) => return false,
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}
