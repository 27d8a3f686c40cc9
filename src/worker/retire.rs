//! Beside the path: what is older than events are kept goes, a little at a time. Invariant: history begins at a whole UTC day, a
//! day before the oldest event that the door or a worker would still take, so nothing is written where rows are being deleted.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::metrics;
use crate::domain::id::AccountId;
use crate::domain::time::{SECOND, Timestamp};
use crate::store::{Retired, WorkerStore};

const DAY_MICROS: i64 = 86_400 * SECOND;

/// Distance between two rounds, and after a failure.
const EVERY: Duration = Duration::from_secs(600);

/// Pause between two steps, so that clearing away leaves Postgres to the living.
const BETWEEN: Duration = Duration::from_millis(100);

/// Oldest time an event may have to be taken at `now`.
pub(super) fn oldest_taken(now: Timestamp, retention_days: u32) -> Timestamp {
    now.saturating_add_micros(-i64::from(retention_days).saturating_mul(DAY_MICROS))
}

/// Clears until the token is cancelled.
pub async fn run(store: WorkerStore, retention_days: u32, stop: CancellationToken) {
    loop {
        let before = history_begins(Timestamp::now(), retention_days);
        tokio::select! {
            () = stop.cancelled() => return,
            () = round(&store, before) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(EVERY) => {}
        }
    }
}

fn history_begins(now: Timestamp, retention_days: u32) -> Timestamp {
    let day_before = oldest_taken(now, retention_days).saturating_add_micros(-DAY_MICROS);
    day_before.saturating_add_micros(-(day_before.micros() % DAY_MICROS))
}

async fn round(store: &WorkerStore, before: Timestamp) {
    let mut at: Option<AccountId> = None;
    let mut total = 0;
    loop {
        match store.retire(before, at.as_ref()).await {
            Ok(Retired::Elsewhere) => break,
            Ok(Retired::Done) => break,
            Ok(Retired::More { events, after }) => {
                metrics::retired(events);
                total += events;
                at = after;
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "old events could not be deleted; later again"
                );
                break;
            }
        }
        sleep(BETWEEN).await;
    }
    if total > 0 {
        tracing::info!(events = total, before = %before, "events past their retention were deleted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_begins_at_a_whole_day_with_a_day_to_spare() {
        let now = Timestamp::parse("2026-03-10T12:34:56Z").expect("time");
        assert_eq!(history_begins(now, 3), Timestamp::parse("2026-03-06T00:00:00Z").expect("time"));
        assert_eq!(oldest_taken(now, 3), Timestamp::parse("2026-03-07T12:34:56Z").expect("time"));
        assert_eq!(history_begins(now, u32::MAX), Timestamp::from_unix_seconds(0).expect("epoch"));
    }
}
