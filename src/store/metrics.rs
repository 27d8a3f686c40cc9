//! What the store tells operators.

use std::sync::LazyLock;
use std::time::Instant;

use prometheus::{Histogram, IntCounter, IntCounterVec};

use super::error::{ReadError, WriteError};
use super::worker_store::Written;
use crate::telemetry::metrics::{histogram, int_counter_vec};

static WRITE_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "weir_store_write_seconds",
        "Time of one write transaction, pool wait included. When it nears WEIR_DB_WRITE_TIMEOUT_MS, look at Postgres.",
        &[0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
    )
});

static ROWS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_store_rows_total",
        "Events written, by whether the row was new. Many duplicates mean replays or clients that retry.",
        &["result"],
    )
});

static ERRORS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_store_errors_total",
        "Calls Postgres did not serve, by meaning. schema: migrate; data: see the dead letters; transient, unavailable: see Postgres; broken: tell us.",
        &["meaning"],
    )
});

static INSERTED: LazyLock<IntCounter> = LazyLock::new(|| ROWS.with_label_values(&["inserted"]));
static DUPLICATE: LazyLock<IntCounter> = LazyLock::new(|| ROWS.with_label_values(&["duplicate"]));

/// Starts the clock of a write.
pub(super) fn write_started() -> Instant {
    Instant::now()
}

/// Files the end of a write.
pub(super) fn write_ended(started: Instant, result: &Result<Written, WriteError>) {
    WRITE_SECONDS.observe(started.elapsed().as_secs_f64());
    let meaning = match result {
        Ok(written) => {
            INSERTED.inc_by(written.inserted as u64);
            DUPLICATE.inc_by(written.duplicates as u64);
            return;
        }
        Err(WriteError::Transient(_)) => "transient",
        Err(WriteError::Data(_)) => "data",
        Err(WriteError::Schema(_)) => "schema",
    };
    ERRORS.with_label_values(&[meaning]).inc();
}

/// Files the end of a read that failed.
pub(super) fn read_failed(error: &ReadError) {
    let meaning = match error {
        ReadError::Unavailable(_) => "unavailable",
        ReadError::Broken(_) => "broken",
    };
    ERRORS.with_label_values(&[meaning]).inc();
}
