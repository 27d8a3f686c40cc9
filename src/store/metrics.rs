//! What the store tells operators.

use std::sync::LazyLock;
use std::time::Instant;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::error::{ReadError, WriteError};
use super::worker_store::Written;
use crate::telemetry::metrics::{histogram, histogram_vec, int_counter, int_counter_vec, int_gauge_vec};

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

static BATCHES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_store_batches_total",
        "Batches with events by the way they were written: copy, the cheap one; insert, the one that minds repeats; in_vain, a COPY that met a stored event and was followed by an insert. Many in_vain: clients or replays repeat events here and there.",
        &["way"],
    )
});

static ERRORS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_store_errors_total",
        "Calls Postgres did not serve, by meaning. schema: migrate; data: see the dead letters; transient, unavailable: see Postgres; broken: tell us.",
        &["meaning"],
    )
});

static POOL_WAIT: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram_vec(
        "weir_store_pool_wait_seconds",
        "Time until a call had a connection, by pool. Rising: raise WEIR_DB_API_CONNECTIONS or WEIR_WORKER_CONCURRENCY, or look at Postgres.",
        &[0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0],
        &["pool"],
    )
});

static FALLBACKS: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter(
        "weir_store_replica_fallbacks_total",
        "Reads that found the replica of DATABASE_READ_URL away and went to the primary. Look at the replica.",
    )
});

static PARTITION_ROWS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    int_gauge_vec(
        "weir_store_partition_rows",
        "Rows inserted, updated and read by partition since Postgres's statistics began. One that runs ahead holds a whale.",
        &["partition", "operation"],
    )
});

static PARTITION_BYTES: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    int_gauge_vec(
        "weir_store_partition_bytes",
        "Size of each partition with its indexes. One that runs ahead holds a whale.",
        &["partition"],
    )
});

static INSERTED: LazyLock<IntCounter> = LazyLock::new(|| ROWS.with_label_values(&["inserted"]));
static DUPLICATE: LazyLock<IntCounter> = LazyLock::new(|| ROWS.with_label_values(&["duplicate"]));
static COPIED: LazyLock<IntCounter> = LazyLock::new(|| BATCHES.with_label_values(&["copy"]));
static WRITTEN_SAFELY: LazyLock<IntCounter> = LazyLock::new(|| BATCHES.with_label_values(&["insert"]));
static IN_VAIN: LazyLock<IntCounter> = LazyLock::new(|| BATCHES.with_label_values(&["in_vain"]));

/// Shows the series of one pool at zero, before its first call.
pub(super) fn announce(pool: &str) {
    POOL_WAIT.with_label_values(&[pool]);
    LazyLock::force(&WRITE_SECONDS);
    for counter in [&*INSERTED, &*DUPLICATE, &*FALLBACKS, &*COPIED, &*WRITTEN_SAFELY, &*IN_VAIN] {
        counter.inc_by(0);
    }
    for meaning in ["transient", "data", "schema", "unavailable", "broken"] {
        ERRORS.with_label_values(&[meaning]).inc_by(0);
    }
}

/// Files how long a call waited for its connection.
pub(super) fn waited(pool: &str, since: Instant) {
    POOL_WAIT.with_label_values(&[pool]).observe(since.elapsed().as_secs_f64());
}

/// Files a batch that COPY took.
pub(super) fn copied() {
    COPIED.inc();
}

/// Files a COPY that met a stored event.
pub(super) fn copied_in_vain() {
    IN_VAIN.inc();
}

/// Files a batch of which the absent events were inserted.
pub(super) fn inserted() {
    WRITTEN_SAFELY.inc();
}

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

/// Files a read that the replica did not serve; at most a few a rest, because the reads after it do not ask it.
pub(super) fn fell_back() {
    FALLBACKS.inc();
    tracing::warn!("the read replica is away; reads go to the primary");
}

/// Files what a partition has cost: rows inserted, updated and read, and bytes.
pub(super) fn partition(name: &str, rows: [i64; 3], bytes: i64) {
    for (operation, rows) in ["inserted", "updated", "read"].into_iter().zip(rows) {
        PARTITION_ROWS.with_label_values(&[name, operation]).set(rows);
    }
    PARTITION_BYTES.with_label_values(&[name]).set(bytes);
}
