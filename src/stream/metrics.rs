//! What live streams tell operators.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntGauge};

use crate::telemetry::metrics::{int_counter, int_gauge};

static OPEN: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge("weir_streams_open", "Live streams of this process. Near WEIR_STREAMS new ones are refused.")
});

static DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter(
        "weir_stream_events_dropped_total",
        "Events left out of live streams because their clients read too slowly; each was told by a gap frame.",
    )
});

static CATCH_UPS: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter(
        "weir_stream_catch_ups_total",
        "Times a resumed stream read the log from where its client had left. Many mean clients that reconnect often.",
    )
});

/// Shows every series at zero, before the first stream.
pub(super) fn announce() {
    OPEN.add(0);
    DROPPED.inc_by(0);
    CATCH_UPS.inc_by(0);
}

/// So many streams are open.
pub(super) fn open(streams: usize) {
    OPEN.set(i64::try_from(streams).unwrap_or(i64::MAX));
}

/// An event was left out for one client.
pub(super) fn dropped() {
    DROPPED.inc();
}

/// A catch-up began.
pub(super) fn caught_up() {
    CATCH_UPS.inc();
}
