//! What the questions tell operators.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec};

use crate::telemetry::metrics::{int_counter, int_counter_vec};

static SUMMARIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_summaries_total",
        "Summaries by who answered: process, redis, postgres, stale (Redis, because Postgres was away), or nobody. Many from postgres: is Redis away? Any stale or from nobody: Postgres is.",
        &["source"],
    )
});

static RENEWALS: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter("weir_summary_renewals_total", "Summaries computed anew in the background shortly before they ran out.")
});

static CROWDED: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter(
        "weir_reads_refused_total",
        "Questions refused because the account had too many under way. If Postgres has room, raise WEIR_READS_PER_ACCOUNT.",
    )
});

/// Shows every series at zero, before the first question.
pub(super) fn announce() {
    for source in ["process", "redis", "postgres", "stale", "nobody"] {
        SUMMARIES.with_label_values(&[source]).inc_by(0);
    }
    RENEWALS.inc_by(0);
    CROWDED.inc_by(0);
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

/// Files a renewal.
pub(super) fn renewed() {
    RENEWALS.inc();
}

/// Files a question refused for the account's others.
pub(super) fn crowded() {
    CROWDED.inc();
}
