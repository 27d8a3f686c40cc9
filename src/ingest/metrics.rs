//! What the ingest station counts. Labels come from [`Outcome`]; never from accounts or event names.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec};

use crate::domain::outcome::Outcome;
use crate::telemetry::metrics::int_counter_vec;

static EVENTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "events_ingested_total",
        "Events by how they ended at the door; retry with log_unavailable or outcome_unknown: look at the brokers; rejected: a tenant sends what breaks the rules.",
        &["outcome", "reason"],
    )
});

/// The outcome nearly every event has, without a look-up.
static ACCEPTED: LazyLock<IntCounter> = LazyLock::new(|| counter(Outcome::Accepted));

fn counter(outcome: Outcome) -> IntCounter {
    EVENTS.with_label_values(&[outcome.status(), outcome.reason()])
}

/// So many events ended so.
pub(super) fn ended(outcome: Outcome, events: usize) {
    match outcome {
        Outcome::Accepted => ACCEPTED.inc_by(events as u64),
        other => counter(other).inc_by(events as u64),
    }
}

#[cfg(test)]
pub(super) fn count(outcome: Outcome) -> u64 {
    counter(outcome).get()
}
