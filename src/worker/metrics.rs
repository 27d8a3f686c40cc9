//! What the worker says about itself. Invariant: labels are closed sets; partitions are labelled by topic and number, of which
//! there are as many as the operator made.

use std::sync::LazyLock;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::alarm::Change;
use crate::domain::event::Event;
use crate::domain::outcome::DeadReason;
use crate::domain::time::Timestamp;
use crate::kafka::{Partition, PublishError};
use crate::store::Written;
use crate::telemetry::metrics::{histogram, int_counter, int_counter_vec, int_gauge, int_gauge_vec};

static BATCH_EVENTS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "weir_worker_batch_events",
        "Events of one write. Small under load: raise WEIR_WORKER_BATCH_MS; always at the cap: the worker is behind.",
        &[1.0, 5.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0],
    )
});

static SKETCH_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "weir_worker_sketch_seconds",
        "Time to build the sketches of one bucket. Seconds: an account sends a great deal in 15 minutes.",
        &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
    )
});

static UNCOUNTED: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter(
        "weir_worker_uncounted_total",
        "Events the live counters left out because too many names waited for Redis; they are right again within minutes.",
    )
});

static END_TO_END_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "weir_event_visible_seconds",
        "Time from the door to the committed row of newly stored events. Rising with flat write time: the worker is behind.",
        &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0],
    )
});

static RETRIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_worker_retries_total",
        "Writes and dead-letter publishes that have to be tried again, by cause. transient: Postgres is away or busy; schema: \
         migrate or mend the schema, nothing is stored until then; late: Postgres is slow and the batch is cut in halves; data: \
         a piece of a batch is tried; dead_letter: the dead-letter topic cannot be written.",
        &["class"],
    )
});

static DEAD: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_dead_letters_total",
        "Records set aside in the dead-letter topic. Any: look at them with `weir dead-letters list`.",
        &["reason"],
    )
});

static RETIRED: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter(
        "weir_retention_deleted_events_total",
        "Events deleted because they are older than WEIR_RETENTION_DAYS. Flat while old events remain: see the log of the workers.",
    )
});

static ALARM: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge(
        "weir_worker_dead_letter_alarm",
        "1 while more than 1 % of a minute's records, and at least 100, are set aside: the partitions that hold them are worked \
         off slowly. Look at `weir dead-letters list`, mend the cause, replay.",
    )
});

static IN_FLIGHT: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge("weir_worker_records_in_flight", "Records polled and not yet done. Standing high: the worker is behind.")
});

static HELD: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge("weir_worker_buffer_bytes", "Memory of polled records; at most WEIR_WORKER_BUFFER_KIB.")
});

static PAUSED: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge(
        "weir_worker_paused_partitions",
        "Partitions not fetched because their buffer is full; the worker is behind.",
    )
});

static LAG: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    int_gauge_vec(
        "weir_worker_lag_seconds",
        "Age of the oldest record of a partition that is polled and not done; 0 when none. Alarm at 60.",
        &["topic", "partition"],
    )
});

/// Old events were deleted.
pub(super) fn retired(events: u64) {
    RETIRED.inc_by(events);
}

/// Partitions that get a series of their own; the rest share `other`.
const LABELLED_PARTITIONS: i32 = 256;

/// Why something is tried again.
#[derive(Debug, Clone, Copy)]
pub enum Retry {
    /// The database is away, busy or slow.
    Transient,
    /// The schema is not the one we know.
    Schema,
    /// A batch is not done in time and cut in halves.
    Late,
    /// A record is refused and being isolated.
    Data,
    /// The dead-letter topic did not acknowledge.
    DeadLetter,
}

/// Shows what an alert may ask for at zero; lag appears with the first partition.
pub(super) fn announce() {
    LazyLock::force(&BATCH_EVENTS);
    LazyLock::force(&SKETCH_SECONDS);
    UNCOUNTED.inc_by(0);
    LazyLock::force(&END_TO_END_SECONDS);
    LazyLock::force(&LAG);
    for class in ["transient", "schema", "late", "data", "dead_letter"] {
        RETRIES.with_label_values(&[class]).inc_by(0);
    }
    for reason in DeadReason::ALL {
        DEAD.with_label_values(&[reason.code()]).inc_by(0);
    }
    RETIRED.inc_by(0);
    for gauge in [&*IN_FLIGHT, &*HELD, &*PAUSED, &*ALARM] {
        gauge.add(0);
    }
}

pub(super) fn batch(events: usize) {
    BATCH_EVENTS.observe(events as f64);
}

/// Files how long newly stored events took from the door. Replays carry their first received time and are new only once.
pub(super) fn stored(events: &[Event<'_>], written: &Written, now: Timestamp) {
    for (event, _) in events.iter().zip(&written.new).filter(|(_, new)| **new) {
        let micros = now.micros_since(event.received_at).max(0);
        END_TO_END_SECONDS.observe(micros as f64 / 1e6);
    }
}

/// Postgres cannot take a batch now. The first failure of a batch is a warning, those behind it are only counted and told at
/// debug level: a long outage must not fill the log.
pub(super) fn passing_trouble(cause: &dyn std::error::Error, failures: u32) {
    retry(Retry::Transient);
    if failures == 0 {
        tracing::warn!(%cause, "Postgres cannot take a batch now; trying again until it does");
    } else {
        tracing::debug!(%cause, failures, "Postgres still cannot take the batch");
    }
}

/// The schema is not ours: nobody but an operator can mend that.
pub(super) fn schema_trouble(cause: &dyn std::error::Error, failures: u32) {
    retry(Retry::Schema);
    tracing::error!(%cause, failures, "the database schema does not fit: writing stands still until `weir migrate` has run");
}

/// There are too many dead letters, or no longer.
pub(super) fn alarm(change: Change) {
    match change {
        Change::Began { records, dead } => {
            ALARM.set(1);
            tracing::error!(
                records,
                dead,
                "too many records of the last minute are set aside: their partitions are slowed"
            );
        }
        Change::Ended => {
            ALARM.set(0);
            tracing::info!("no longer too many dead letters");
        }
    }
}

/// The dead-letter topic does not acknowledge.
pub(super) fn dead_letter_trouble(error: &PublishError, letters: usize, failures: u32) {
    retry(Retry::DeadLetter);
    tracing::error!(%error, letters, failures, "dead letters are not acknowledged: their partition waits until they are");
}

pub(super) fn retry(class: Retry) {
    let class = match class {
        Retry::Transient => "transient",
        Retry::Schema => "schema",
        Retry::Late => "late",
        Retry::Data => "data",
        Retry::DeadLetter => "dead_letter",
    };
    RETRIES.with_label_values(&[class]).inc();
}

/// Files the build of one bucket's sketches.
pub(super) fn sketched(cost: std::time::Duration) {
    SKETCH_SECONDS.observe(cost.as_secs_f64());
}

/// Files an event that the live counters left out.
pub(super) fn uncounted() {
    UNCOUNTED.inc();
}

pub(super) fn dead_lettered(reason: DeadReason) {
    DEAD.with_label_values(&[reason.code()]).inc();
}

pub(super) fn holding(records: usize, bytes: usize, paused: usize) {
    IN_FLIGHT.set(i64::try_from(records).unwrap_or(i64::MAX));
    HELD.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    PAUSED.set(i64::try_from(paused).unwrap_or(i64::MAX));
}

pub(super) fn lag(partition: &Partition, seconds: i64) {
    if partition.partition < LABELLED_PARTITIONS {
        LAG.with_label_values(&[partition.topic.as_ref(), &partition.partition.to_string()]).set(seconds.max(0));
    }
}

pub(super) fn lost(partition: &Partition) {
    if LAG.remove_label_values(&[partition.topic.as_ref(), &partition.partition.to_string()]).is_err() {
        tracing::trace!(kafka.partition = partition.partition, "no lag was reported for this partition");
    }
}
