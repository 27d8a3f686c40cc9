//! The registry behind the management port's `/metrics`. Invariant: metrics are registered here only, by the typed statics of
//! each station's `metrics.rs`, at its start, so that the first scrape shows them all; labels come from closed sets, never from
//! free text, and from accounts through [`super::top_accounts`] only. `docs/metrics.md` lists them; a test compares.

use std::sync::LazyLock;

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

static BUILD: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    int_gauge_vec(
        "weir_build_info",
        "Always 1; which version runs in which roles. Two versions for long: a roll-out hangs.",
        &["version", "roles"],
    )
});

/// Says which version runs, and in which roles.
pub fn announce(roles: &str) {
    super::lines::announce();
    BUILD.with_label_values(&[env!("CARGO_PKG_VERSION"), roles]).set(1);
}

/// A name that is registered twice is a mistake of ours that the first scrape of any test shows.
fn register<C: prometheus::core::Collector + Clone + 'static>(made: prometheus::Result<C>) -> C {
    #[allow(
        clippy::unwrap_used,
        clippy::disallowed_methods,
        reason = "names and labels are literals; a bad one fails every test"
    )]
    {
        let collector = made.unwrap();
        REGISTRY.register(Box::new(collector.clone())).unwrap();
        collector
    }
}

/// A counter without labels. `help` says what an operator should do about it.
pub fn int_counter(name: &str, help: &str) -> IntCounter {
    register(IntCounter::new(name, help))
}

/// A counter with labels from a closed set.
pub fn int_counter_vec(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(IntCounterVec::new(Opts::new(name, help), labels))
}

/// A gauge without labels.
pub fn int_gauge(name: &str, help: &str) -> IntGauge {
    register(IntGauge::new(name, help))
}

/// A gauge of a fraction, such as seconds, without labels.
pub fn gauge(name: &str, help: &str) -> Gauge {
    register(Gauge::new(name, help))
}

/// A gauge with labels from a closed set.
pub fn int_gauge_vec(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A gauge of a fraction with labels from a closed set.
pub fn gauge_vec(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    register(GaugeVec::new(Opts::new(name, help), labels))
}

/// A histogram without labels.
pub fn histogram(name: &str, help: &str, buckets: &[f64]) -> Histogram {
    register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
}

/// A histogram with labels from a closed set.
pub fn histogram_vec(name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
    register(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
}

/// Everything registered so far in Prometheus text format.
pub fn render() -> Vec<u8> {
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&REGISTRY.gather(), &mut text) {
        tracing::error!(%error, "metrics cannot be rendered");
    }
    text
}
