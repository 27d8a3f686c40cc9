//! Spans of sampled requests on their way to a collector. Invariant: recording a span never waits: what finds no room is dropped
//! and counted, and a dead collector costs nothing but its spans.

pub mod context;
mod export;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use prometheus::IntCounterVec;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::metrics::int_counter_vec;
use crate::config::TelemetryConfig;
use crate::domain::time::Timestamp;
use context::{Place, Remote};
use export::Exporter;

/// Spans that may wait for the collector.
const WAITING: usize = 4_096;

static SPANS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_spans_total",
        "Spans by what became of them. dropped: more than the collector takes; failed: the collector is away. Requests are not touched.",
        &["result"],
    )
});

/// What a span is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A request that we serve.
    Server,
    /// Records that we take out of the log.
    Consumer,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Arc<str>),
    /// A whole number.
    Number(i64),
}

/// Something that took time.
#[derive(Debug, Clone)]
pub struct Span {
    /// Where it stands in its trace.
    pub place: Place,
    /// What it is: from a closed set.
    pub name: &'static str,
    /// What it is of.
    pub kind: Kind,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// More about it; neither payloads nor tokens.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether it failed because of us.
    pub failed: bool,
}

/// Decides what is traced, and takes spans. Cheap to clone.
#[derive(Clone)]
pub struct Tracer {
    waiting: mpsc::Sender<Span>,
    share: f64,
}

/// Why there is no tracer.
#[derive(Debug, thiserror::Error)]
#[error("no client for OTEL_EXPORTER_OTLP_ENDPOINT can be made")]
pub struct TracerError(#[source] reqwest::Error);

impl Tracer {
    /// Starts the exporter; `None` without an endpoint.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn start(
        config: &TelemetryConfig,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, TracerError> {
        ["exported", "dropped", "failed"].into_iter().for_each(|result| SPANS.with_label_values(&[result]).inc_by(0));
        let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
        let (waiting, spans) = mpsc::channel(WAITING);
        let exporter = Exporter::new(endpoint, &config.service_name, spans).map_err(TracerError)?;
        tasks.spawn(exporter.run(stop.clone()));
        Ok(Some(Self { waiting, share: config.trace_percent / 100.0 }))
    }

    /// A place for a span under what came with the request; `None` when its trace is not sampled. What comes without a trace is
    /// sampled by its share.
    pub fn place(&self, traceparent: Option<&str>) -> Option<Place> {
        match traceparent.map(Remote::parse) {
            Some(Some(remote)) => remote.sampled.then(|| Place::under(&remote)),
            _ => (rand::random::<f64>() < self.share).then(Place::root),
        }
    }

    /// Hands a span over.
    pub fn record(&self, span: Span) {
        if self.waiting.try_send(span).is_err() {
            count("dropped", 1);
        }
    }
}

fn count(result: &str, spans: usize) {
    SPANS.with_label_values(&[result]).inc_by(spans as u64);
}

/// How long a collector may take to answer.
const COLLECTOR_DEADLINE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_finds_no_room_is_dropped_and_counted() {
        let (waiting, _nobody_takes) = mpsc::channel(2);
        let (tracer, before) = (Tracer { waiting, share: 1.0 }, SPANS.with_label_values(&["dropped"]).get());
        for _ in 0..5 {
            let place = tracer.place(None).expect("sampled");
            let now = Timestamp::MAX;
            let attributes = Vec::new();
            tracer.record(Span {
                place,
                name: "x",
                kind: Kind::Server,
                started_at: now,
                ended_at: now,
                attributes,
                failed: false,
            });
        }
        assert_eq!(SPANS.with_label_values(&["dropped"]).get() - before, 3);
        let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert_eq!(tracer.place(Some(unsampled)), None, "whoever began the trace decides");
    }
}
