//! What the log station counts. Labels: closed sets, and topics and partitions, which only operators make.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::domain::lane::Lane;
use crate::telemetry::metrics::{gauge, histogram, int_counter, int_counter_vec, int_gauge, int_gauge_vec};

use super::breaker::State;
use super::record::PublishError;

static ACK_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "weir_log_ack_seconds",
        "Time from hand-over to the acknowledgement of all records of a request; near WEIR_KAFKA_ACK_TIMEOUT_MS look at the brokers.",
        &[0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0],
    )
});

static PUBLISH_ERRORS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_log_publish_errors_total",
        "Records without a placement, by kind: away and unknown mean the brokers, queue_full means more load than they take, refused means topics or rights.",
        &["kind"],
    )
});

static BREAKER: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge(
        "weir_log_breaker_state",
        "0 the log is used, 1 it is away and publishes are refused, 2 it is back on trial.",
    )
});

static QUEUE_RECORDS: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge("weir_log_queue_records", "Records in the producer queue; bound: WEIR_KAFKA_QUEUE_RECORDS.")
});

static QUEUE_BYTES: LazyLock<IntGauge> =
    LazyLock::new(|| int_gauge("weir_log_queue_bytes", "Bytes in the producer queue; bound: WEIR_KAFKA_QUEUE_KIB."));

static BROKERS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    int_gauge_vec(
        "weir_log_brokers",
        "Brokers the producer knows, by whether it is connected; any down for minutes: look at that broker.",
        &["state"],
    )
});

static ROUND_TRIP: LazyLock<Gauge> = LazyLock::new(|| {
    gauge(
        "weir_log_broker_round_trip_seconds",
        "Slowest broker's 99th percentile of answer times over the last seconds; rising: look at its disk and network.",
    )
});

static PRODUCER_REBUILDS: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter(
        "weir_log_producer_rebuilds_total",
        "Producers replaced after a fatal error; more than a few a day: look at the brokers' logs.",
    )
});

static CONSUMER_LAG: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    int_gauge_vec(
        "weir_log_consumer_lag_records",
        "Records of a partition that this worker has not stored yet; growing: add workers or look at Postgres.",
        &["topic", "partition"],
    )
});

static CONSUMER_ERRORS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_log_consumer_errors_total",
        "Errors while reading, by kind: poll and commit are retried, fatal makes a new consumer, store means a partition had been taken away.",
        &["kind"],
    )
});

static REBALANCES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_log_rebalances_total",
        "Changes of the partitions of this worker; many an hour: look at restarts and session timeouts.",
        &["kind"],
    )
});

static CONSUMER_PAUSED: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    int_gauge_vec(
        "weir_log_consumer_paused",
        "1 while fetching of a lane is paused because the worker does not keep up.",
        &["lane"],
    )
});

/// Shows the producer's side at zero, before anything happens.
pub(super) fn announce_producer() {
    LazyLock::force(&ACK_SECONDS);
    for kind in ["away", "queue_full", "too_large", "unknown", "refused"] {
        PUBLISH_ERRORS.with_label_values(&[kind]).inc_by(0);
    }
    for gauge in [&*BREAKER, &*QUEUE_RECORDS, &*QUEUE_BYTES] {
        gauge.add(0);
    }
    ["up", "down"].into_iter().for_each(|state| BROKERS.with_label_values(&[state]).add(0));
    ROUND_TRIP.add(0.0);
    PRODUCER_REBUILDS.inc_by(0);
}

/// Shows the consumer's side at zero; lag appears with the first partition.
pub(super) fn announce_consumer() {
    LazyLock::force(&CONSUMER_LAG);
    for kind in ["poll", "commit", "store", "fatal"] {
        CONSUMER_ERRORS.with_label_values(&[kind]).inc_by(0);
    }
    ["assigned", "revoked", "lost"].into_iter().for_each(|kind| REBALANCES.with_label_values(&[kind]).inc_by(0));
    Lane::ALL.into_iter().for_each(|lane| CONSUMER_PAUSED.with_label_values(&[lane.as_str()]).add(0));
}

/// What went wrong while reading.
#[derive(Debug, Clone, Copy)]
pub(super) enum ConsumerFault {
    Poll,
    Commit,
    Store,
    Fatal,
}

/// A change of the partitions of this worker.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rebalanced {
    Assigned,
    Revoked,
    Lost,
}

pub(super) fn settled(waited: Duration) {
    ACK_SECONDS.observe(waited.as_secs_f64());
}

pub(super) fn publish_failed(error: &PublishError, records: usize) {
    let kind = match error {
        PublishError::Away => "away",
        PublishError::QueueFull => "queue_full",
        PublishError::TooLarge => "too_large",
        PublishError::Unknown => "unknown",
        PublishError::Refused(_) => "refused",
    };
    PUBLISH_ERRORS.with_label_values(&[kind]).inc_by(records as u64);
}

pub(super) fn breaker(state: State) {
    BREAKER.set(state as i64);
}

pub(super) fn queue(records: u64, bytes: u64) {
    QUEUE_RECORDS.set(i64::try_from(records).unwrap_or(i64::MAX));
    QUEUE_BYTES.set(i64::try_from(bytes).unwrap_or(i64::MAX));
}

/// Brokers with and without a connection, and the slowest one's answer time.
pub(super) fn brokers(up: usize, down: usize, round_trip: Option<Duration>) {
    for (state, count) in [("up", up), ("down", down)] {
        BROKERS.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    ROUND_TRIP.set(round_trip.unwrap_or_default().as_secs_f64());
}

pub(super) fn producer_rebuilt() {
    PRODUCER_REBUILDS.inc();
}

#[cfg(test)]
pub(super) fn producers_rebuilt() -> u64 {
    PRODUCER_REBUILDS.get()
}

pub(super) fn lag(topic: &str, partition: i32, records: i64) {
    CONSUMER_LAG.with_label_values(&[topic, &partition.to_string()]).set(records);
}

/// Takes a partition's lag out of the output: another worker reports it from now on.
pub(super) fn forget_lag(topic: &str, partition: i32) {
    if CONSUMER_LAG.remove_label_values(&[topic, &partition.to_string()]).is_err() {
        tracing::trace!(topic, partition, "no lag had been reported");
    }
}

pub(super) fn consumer_failed(kind: ConsumerFault) {
    let kind = match kind {
        ConsumerFault::Poll => "poll",
        ConsumerFault::Commit => "commit",
        ConsumerFault::Store => "store",
        ConsumerFault::Fatal => "fatal",
    };
    CONSUMER_ERRORS.with_label_values(&[kind]).inc();
}

pub(super) fn rebalanced(kind: Rebalanced) {
    let kind = match kind {
        Rebalanced::Assigned => "assigned",
        Rebalanced::Revoked => "revoked",
        Rebalanced::Lost => "lost",
    };
    REBALANCES.with_label_values(&[kind]).inc();
}

pub(super) fn paused(lane: Lane, paused: bool) {
    CONSUMER_PAUSED.with_label_values(&[lane.as_str()]).set(i64::from(paused));
}
