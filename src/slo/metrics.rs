//! What flushing counts. Labels come from closed sets.

use std::sync::LazyLock;

use prometheus::IntCounterVec;

use crate::store::WriteError;
use crate::telemetry::metrics::int_counter_vec;

static FLUSHES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_sli_flushes_total",
        "Flushes of the sums that reports are made of; failed ones are sent again. Many failed: look at Postgres.",
        &["result"],
    )
});

/// Shows every series at zero, before the first flush.
pub(super) fn announce() {
    ["added", "repeated", "failed"].into_iter().for_each(|result| FLUSHES.with_label_values(&[result]).inc_by(0));
}

/// A flush is in the database; `new` unless only its first answer had been lost.
pub(super) fn flushed(new: bool) {
    FLUSHES.with_label_values(&[if new { "added" } else { "repeated" }]).inc();
}

/// A flush is not known to be in the database.
pub(super) fn failed(error: &WriteError, failures: u32) {
    FLUSHES.with_label_values(&["failed"]).inc();
    let error = error as &dyn std::error::Error;
    if failures == 0 {
        tracing::warn!(
            error,
            cause = error.source(),
            "sums for reports cannot be written; they are kept and sent again"
        );
    } else {
        tracing::debug!(error, cause = error.source(), failures, "sums for reports still cannot be written");
    }
}
