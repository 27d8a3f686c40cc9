//! What the questions tell operators.

use std::sync::LazyLock;

use prometheus::IntCounterVec;

use crate::telemetry::metrics::int_counter_vec;

static SUMMARIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_summaries_total",
        "Summaries by who answered: process, redis, postgres, stale (Redis, because Postgres was away), or nobody. Many from postgres: is Redis away? Any stale or from nobody: Postgres is.",
        &["source"],
    )
});

/// Shows every series at zero, before the first question.
pub(super) fn announce() {
    for source in ["process", "redis", "postgres", "stale", "nobody"] {
        SUMMARIES.with_label_values(&[source]).inc_by(0);
    }
}

/// Who answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Process,
    Redis,
    Postgres,
    Stale,
    Nobody,
}

/// Files an answer.
pub(super) fn answered(source: Source) {
    let source = match source {
        Source::Process => "process",
        Source::Redis => "redis",
        Source::Postgres => "postgres",
        Source::Stale => "stale",
        Source::Nobody => "nobody",
    };
    SUMMARIES.with_label_values(&[source]).inc();
}
