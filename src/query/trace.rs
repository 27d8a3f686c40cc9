//! What became of an event. Invariant: nothing is kept per event for this: the answer follows from the row, from the receipt,
//! from how far the log is settled, and from the index over the dead letters.

use super::freshness::Freshness;
use crate::domain::id::EventId;
use crate::domain::receipt::Receipt;
use crate::domain::time::Timestamp;
use crate::domain::window::bucket_of;
use crate::store::{DeadRow, Seen, TraceRows};

/// How far an event has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// In Postgres, and counted in the same transaction.
    Stored,
    /// Set aside; it was never counted.
    DeadLettered,
    /// The log has it, the worker has not come to it yet.
    Logged,
    /// The worker is past it, and it is neither stored nor set aside: it is older than what is kept.
    Gone,
    /// Nothing is stored under this id. Without a receipt, an event in flight cannot be told from one never sent.
    Unknown,
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Which event.
    pub event_id: EventId,
    /// How far it has come.
    pub stage: Stage,
    /// When the door had read it; known once it is stored.
    pub received_at: Option<Timestamp>,
    /// Where the log has it; known by the receipt.
    pub logged: Option<Receipt>,
    /// When its row was made.
    pub stored_at: Option<Timestamp>,
    /// Start of the 15 minutes it counts in.
    pub counted_in: Option<Timestamp>,
    /// Every time it was set aside, latest first.
    pub dead: Vec<DeadRow>,
    /// How far the answer reaches.
    pub freshness: Freshness,
}

pub(super) fn trace(event_id: EventId, logged: Option<Receipt>, seen: Seen<TraceRows>, now: Timestamp) -> Trace {
    let freshness = Freshness::of(&seen, now);
    let TraceRows { stored, settled, dead } = seen.value;
    let stage = match (&stored, settled) {
        (Some(_), _) => Stage::Stored,
        (None, _) if !dead.is_empty() => Stage::DeadLettered,
        (None, Some(true)) => Stage::Gone,
        (None, Some(false)) => Stage::Logged,
        (None, None) => Stage::Unknown,
    };
    let row = stored.as_ref();
    Trace {
        event_id,
        stage,
        received_at: row.map(|row| row.event.received_at),
        logged,
        stored_at: row.map(|row| row.stored_at),
        counted_in: row.and_then(|row| Timestamp::from_unix_seconds(bucket_of(row.event.timestamp)).ok()),
        dead,
        freshness,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(settled: Option<bool>, dead: usize) -> Stage {
        let now = Timestamp::from_unix_seconds(5).expect("time");
        let origin = Receipt { topic: "t".into(), partition: 0, offset: 0 };
        let row = DeadRow {
            origin,
            reason: "unstorable".into(),
            stage: "write".into(),
            tries: 3,
            detail: String::new(),
            first_failed_at: now,
            set_aside_at: now,
        };
        let value = TraceRows { stored: None, settled, dead: vec![row; dead] };
        let seen = Seen { value, data_as_of: None, replica: false };
        trace(EventId::new("e").expect("id"), None, seen, now).stage
    }

    #[test]
    fn what_is_not_stored_is_told_apart_as_far_as_it_can_be() {
        assert_eq!(stage(None, 0), Stage::Unknown);
        assert_eq!(stage(Some(false), 0), Stage::Logged);
        assert_eq!(stage(Some(true), 0), Stage::Gone);
        assert_eq!(stage(Some(true), 2), Stage::DeadLettered);
        assert_eq!(stage(None, 1), Stage::DeadLettered);
    }
}
