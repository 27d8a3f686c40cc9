//! A trace as readers see it. Invariant: what is not known is null and never guessed.

use poem_openapi::{Enum, Object};
use serde::Serialize;

use super::text::Rfc3339;
use crate::query::{DeadRow, Stage, Trace};

/// How far an event has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "TraceStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum StatusBody {
    /// In the database, and counted
    Stored,
    /// Set aside, and not counted
    DeadLettered,
    /// In the log, on its way to the database
    Logged,
    /// Older than what is kept
    Gone,
    /// Nothing is stored under this id; without a receipt, in flight cannot be told from never sent
    Unknown,
}

/// A time the event was set aside.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "TraceDeadLetter")]
struct DeadBody {
    /// `topic/partition/offset` of the record
    origin: String,
    /// Why, in one word
    reason: String,
    /// Where: `decode` or `write`
    stage: String,
    /// How often it was tried
    #[oai(validator(minimum(value = "0")))]
    tries: i64,
    /// Why, in a sentence
    detail: String,
    /// When it failed first
    first_failed_at: Rfc3339,
    /// When it was set aside
    set_aside_at: Rfc3339,
}

/// What became of an event.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Trace")]
pub(super) struct TraceBody {
    /// Which event
    event_id: String,
    /// How far it has come
    status: StatusBody,
    /// When the door had read it; known once it is stored
    #[oai(nullable)]
    received_at: Option<Rfc3339>,
    /// Whether the log has it; null when only the id is known and nothing is stored
    #[oai(nullable)]
    logged: Option<bool>,
    /// `topic/partition/offset` of the record; known by the receipt
    #[oai(nullable)]
    logged_at: Option<String>,
    /// When its row was made
    #[oai(nullable)]
    stored_at: Option<Rfc3339>,
    /// Start of the quarter of an hour it counts in
    #[oai(nullable)]
    counted_in: Option<Rfc3339>,
    /// Every time it was set aside, latest first
    dead_letters: Vec<DeadBody>,
    /// Whatever was received before this time has come to its end; null until a first event was stored
    #[oai(nullable)]
    data_as_of: Option<Rfc3339>,
    /// Seconds between then and the answer; null with `data_as_of`
    #[oai(nullable, validator(minimum(value = "0")))]
    lag_seconds: Option<f64>,
}

impl From<Trace> for TraceBody {
    fn from(trace: Trace) -> Self {
        let known = trace.stage != Stage::Unknown;
        Self {
            event_id: trace.event_id.as_str().to_owned(),
            status: trace.stage.into(),
            received_at: trace.received_at.map(Rfc3339),
            logged: known.then_some(true),
            logged_at: trace.logged.map(|receipt| receipt.to_string()),
            stored_at: trace.stored_at.map(Rfc3339),
            counted_in: trace.counted_in.map(Rfc3339),
            dead_letters: trace.dead.into_iter().map(DeadBody::from).collect(),
            data_as_of: trace.freshness.data_as_of.map(Rfc3339),
            lag_seconds: trace.freshness.lag_seconds,
        }
    }
}

impl From<Stage> for StatusBody {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Stored => Self::Stored,
            Stage::DeadLettered => Self::DeadLettered,
            Stage::Logged => Self::Logged,
            Stage::Gone => Self::Gone,
            Stage::Unknown => Self::Unknown,
        }
    }
}

impl From<DeadRow> for DeadBody {
    fn from(row: DeadRow) -> Self {
        Self {
            origin: row.origin.to_string(),
            reason: row.reason,
            stage: row.stage,
            tries: row.tries.into(),
            detail: row.detail,
            first_failed_at: Rfc3339(row.first_failed_at),
            set_aside_at: Rfc3339(row.set_aside_at),
        }
    }
}
