//! What the door counts. Invariant: labels come from closed sets: operation ids, known methods, status codes.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::connection::Refused;
use super::inspect::HeadFault;
use crate::telemetry::metrics::{histogram_vec, int_counter, int_counter_vec, int_gauge_vec};

/// 1 ms to 10 s: single events answer within the linger of the producer, the slowest answer is our deadline.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

static REQUESTS: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram_vec(
        "http_request_duration_seconds",
        "Time from request head to answer. Slow posts point at the log, slow reads at Postgres.",
        &BUCKETS,
        &["method", "route", "status"],
    )
});

static CONNECTIONS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    int_gauge_vec("weir_http_connections", "Open connections; compare with WEIR_HTTP_MAX_CONNECTIONS.", &["listener"])
});

static REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_http_connections_refused_total",
        "Connections closed at once because a cap was reached; raise the cap or look for the peer that opens them.",
        &["cap"],
    )
});

static TIMED_OUT: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_http_connections_timed_out_total",
        "Connections closed because the peer stalled in its head, stayed idle, or took no bytes; many heads mean an attack.",
        &["stage"],
    )
});

static HEADS_REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_http_heads_refused_total",
        "Request heads answered without being served: oversized, or such that a proxy could read them another way.",
        &["fault"],
    )
});

static ACCEPT_ERRORS: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter("weir_http_accept_errors_total", "Failed accepts; usually the limit of open files: raise it.")
});

static PANICS: LazyLock<IntCounter> =
    LazyLock::new(|| int_counter("weir_http_panics_total", "Handlers that panicked; always a mistake of ours."));

/// Shows what an alert may ask for at zero, before the first of them.
pub(super) fn announce(listener: &str) {
    CONNECTIONS.with_label_values(&[listener]).add(0);
    ["total", "peer"].into_iter().for_each(|cap| REFUSED.with_label_values(&[cap]).inc_by(0));
    ["head", "idle", "write"].into_iter().for_each(|stage| TIMED_OUT.with_label_values(&[stage]).inc_by(0));
    HeadFault::ALL.into_iter().for_each(|fault| HEADS_REFUSED.with_label_values(&[fault.name()]).inc_by(0));
    ACCEPT_ERRORS.inc_by(0);
    PANICS.inc_by(0);
}

/// Where a connection stalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Inside a request head.
    Head,
    /// Between requests.
    Idle,
    /// Taking our answer.
    Write,
}

pub(super) fn request_done(method: &'static str, route: &'static str, status: &str, took: Duration) {
    REQUESTS.with_label_values(&[method, route, status]).observe(took.as_secs_f64());
}

pub(super) fn connections_open(listener: &str, open: usize) {
    CONNECTIONS.with_label_values(&[listener]).set(i64::try_from(open).unwrap_or(i64::MAX));
}

pub(super) fn connection_refused(cap: Refused) {
    let cap = match cap {
        Refused::Total => "total",
        Refused::Peer => "peer",
    };
    REFUSED.with_label_values(&[cap]).inc();
}

pub(super) fn connection_timed_out(stage: Stage) {
    let stage = match stage {
        Stage::Head => "head",
        Stage::Idle => "idle",
        Stage::Write => "write",
    };
    TIMED_OUT.with_label_values(&[stage]).inc();
}

pub(super) fn head_refused(fault: HeadFault) {
    HEADS_REFUSED.with_label_values(&[fault.name()]).inc();
}

pub(super) fn accept_failed(error: &std::io::Error) {
    ACCEPT_ERRORS.inc();
    tracing::warn!(%error, "a connection could not be accepted");
}

pub(super) fn panicked(operation: &'static str, request_id: &str, what: &str) {
    PANICS.inc();
    tracing::error!(http.route = operation, request.id = request_id, panic = what, "a handler panicked");
}
