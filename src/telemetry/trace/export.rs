//! Spans to an OTLP collector over HTTP, in its JSON encoding. Invariant: one call at a time, each with a deadline; spans that
//! a call could not bring over are gone and counted, and no call holds up the end of the process.

use reqwest::Client;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{COLLECTOR_DEADLINE, Kind, Span, Value, count};
use crate::domain::time::Timestamp;

/// Most spans of one call.
const BATCH: usize = 512;

/// How long spans gather.
const GATHER: Duration = Duration::from_secs(1);

/// How long the last spans may hold up the end of the process.
const LAST: Duration = Duration::from_secs(1);

pub(super) struct Exporter {
    client: Client,
    url: String,
    service: String,
    spans: mpsc::Receiver<Span>,
    failing: bool,
}

impl Exporter {
    pub(super) fn new(endpoint: &str, service: &str, spans: mpsc::Receiver<Span>) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(COLLECTOR_DEADLINE).build()?;
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        Ok(Self { client, url, service: service.to_owned(), spans, failing: false })
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        while !stop.is_cancelled() {
            tokio::select! {
                () = sleep(GATHER) => {}
                () = stop.cancelled() => break,
            }
            while self.gather(&mut batch) {
                let spans = batch.len();
                if stop.run_until_cancelled(self.send(&mut batch)).await.is_none() {
                    count("failed", spans);
                    return;
                }
            }
        }
        if self.gather(&mut batch) && timeout(LAST, self.send(&mut batch)).await.is_err() {
            tracing::debug!("the last spans were not sent in time");
        }
    }

    /// Takes what waits, up to a batch; whether there is anything.
    fn gather(&mut self, batch: &mut Vec<Span>) -> bool {
        while batch.len() < BATCH {
            let Ok(span) = self.spans.try_recv() else { break };
            batch.push(span);
        }
        !batch.is_empty()
    }

    async fn send(&mut self, batch: &mut Vec<Span>) {
        let (spans, body) = (batch.len(), document(&self.service, batch));
        batch.clear();
        let sent = self.client.post(&self.url).json(&body).send().await.and_then(reqwest::Response::error_for_status);
        match sent {
            Ok(_) => {
                count("exported", spans);
                self.failing = false;
            }
            Err(error) => {
                count("failed", spans);
                // Told once an outage: a collector that is away must not fill the log.
                if !std::mem::replace(&mut self.failing, true) {
                    let error = &error.without_url() as &dyn std::error::Error;
                    tracing::warn!(error, cause = error.source(), "spans do not reach the collector");
                }
            }
        }
    }
}

fn document(service: &str, spans: &[Span]) -> Json {
    let resource = json!({"attributes": [
        {"key": "service.name", "value": {"stringValue": service}},
        {"key": "service.version", "value": {"stringValue": env!("CARGO_PKG_VERSION")}},
    ]});
    let spans: Vec<_> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "weir"}, "spans": spans}]}]})
}

fn span(span: &Span) -> Json {
    let nanos = |at: Timestamp| format!("{}000", at.micros());
    let attribute = |(key, value): &(&str, Value)| {
        let value = match value {
            Value::Text(text) => json!({"stringValue": &**text}),
            // OTLP writes 64-bit numbers as texts.
            Value::Number(number) => json!({"intValue": number.to_string()}),
        };
        json!({"key": key, "value": value})
    };
    let mut told = json!({
        "traceId": span.place.trace_id(),
        "spanId": span.place.span_id(),
        "name": span.name,
        "kind": match span.kind { Kind::Server => 2, Kind::Consumer => 5 },
        "startTimeUnixNano": nanos(span.started_at),
        "endTimeUnixNano": nanos(span.ended_at),
        "attributes": span.attributes.iter().map(attribute).collect::<Vec<_>>(),
        "status": if span.failed { json!({"code": 2}) } else { json!({}) },
    });
    if let Some(parent) = span.place.parent_id() {
        told["parentSpanId"] = parent.into();
    }
    told
}
