//! What the cache tells operators.

use std::sync::LazyLock;

use prometheus::IntCounterVec;

use super::CacheError;
use crate::telemetry::metrics::int_counter_vec;

static LOOKUPS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_cache_lookups_total",
        "Lookups in Redis by result. Many corrupt entries mean two versions of the service share a prefix.",
        &["result"],
    )
});

static FAILURES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_cache_failures_total",
        "Commands Redis did not serve: late, failed, or away (not even asked, shortly after a failure). Look at Redis; reads go to Postgres meanwhile.",
        &["kind"],
    )
});

/// Shows every series at zero, before the first lookup.
pub(super) fn announce() {
    ["hit", "miss", "corrupt"].into_iter().for_each(|result| LOOKUPS.with_label_values(&[result]).inc_by(0));
    ["away", "late", "failed"].into_iter().for_each(|kind| FAILURES.with_label_values(&[kind]).inc_by(0));
}

/// How a lookup ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    Hit,
    Miss,
    Corrupt,
}

/// Files a lookup.
pub(super) fn looked_up(ended: Ended) {
    let result = match ended {
        Ended::Hit => "hit",
        Ended::Miss => "miss",
        Ended::Corrupt => "corrupt",
    };
    LOOKUPS.with_label_values(&[result]).inc();
}

/// Files a command that was not even sent.
pub(super) fn away() {
    FAILURES.with_label_values(&["away"]).inc();
}

/// Files a command that failed. At most one line a rest, because the commands after it are not sent.
pub(super) fn failed(error: &CacheError) {
    let kind = if matches!(error, CacheError::Late(_)) { "late" } else { "failed" };
    FAILURES.with_label_values(&[kind]).inc();
    tracing::warn!(error = %error, cause = std::error::Error::source(error).map(tracing::field::display), "Redis is away; going on without it");
}
