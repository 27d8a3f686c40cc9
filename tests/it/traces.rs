//! Traces: from the client through the log to the row, seen by a collector; and a collector that is dead disturbs nobody.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use weir::app::Roles;

use crate::harness::{Client, TestApp, eventually, send};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// A collector that keeps every span.
struct Collector {
    spans: Arc<Mutex<Vec<Value>>>,
    endpoint: String,
    _serving: JoinSet<()>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let endpoint = format!("http://{}", listener.local_addr().expect("address"));
        let (spans, mut serving) = (Arc::new(Mutex::new(Vec::new())), JoinSet::new());
        let kept = Arc::clone(&spans);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("connection");
                connections.spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Self { spans, endpoint, _serving: serving }
    }

    fn find(&self, name: &str) -> Option<Value> {
        self.spans.lock().expect("lock").iter().find(|span| span["name"] == name && span["traceId"] == TRACE).cloned()
    }
}

async fn serve(stream: TcpStream, spans: Arc<Mutex<Vec<Value>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("length");
            }
            line.clear();
        }
        if length == 0 {
            return;
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.expect("body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let found = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans").clone();
        spans.lock().expect("lock").extend(found);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.expect("answer");
    }
}

async fn post(client: &Client, traceparent: &str) -> u16 {
    let event = json!({"event_name": "view", "user_id": "u"}).to_string();
    let request = client.request("POST", "/v1/events").header("content-type", "application/json").body(event);
    send(request.header("traceparent", traceparent)).await.expect("answer").status
}

#[tokio::test]
async fn a_trace_goes_from_the_client_to_the_row() {
    let collector = Collector::start().await;
    let app = TestApp::start_with(Roles::ALL, |config| {
        config.telemetry.otlp_endpoint = Some(collector.endpoint.clone());
        config.telemetry.trace_percent = 0.0;
    })
    .await;
    let acme = app.client("acme");
    assert_eq!(post(&acme, &format!("00-{TRACE}-{CLIENT}-01")).await, 202);
    assert_eq!(post(&acme, "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-00f067aa0ba902b7-00").await, 202);
    let (door, worker) =
        eventually("both spans", || async { Some((collector.find("postEvent")?, collector.find("storeEvents")?)) })
            .await;
    assert_eq!((&door["parentSpanId"], &door["kind"]), (&json!(CLIENT), &json!(2)));
    assert_eq!((&worker["parentSpanId"], &worker["kind"]), (&door["spanId"], &json!(5)));
    let nanos = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok()).expect("nanoseconds");
    assert!(nanos(&door["startTimeUnixNano"]) <= nanos(&worker["endTimeUnixNano"]));
    let account = json!({"key": "account.id", "value": {"stringValue": "acme"}});
    assert!(door["attributes"].as_array().expect("attributes").contains(&account));
    let sampled = collector.spans.lock().expect("lock").iter().all(|span| span["traceId"] == TRACE);
    assert!(sampled, "what its sender does not trace is not traced");
    app.finish().await;
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_nobody() {
    // Connections are taken by the system and never by anybody behind it.
    let dead = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let endpoint = format!("http://{}", dead.local_addr().expect("address"));
    let app = TestApp::start_with(Roles::ALL, |config| {
        config.telemetry.otlp_endpoint = Some(endpoint);
        config.telemetry.trace_percent = 100.0;
    })
    .await;
    let (acme, management) = (app.client("acme"), Client::new(app.management_url(), None));
    eventually("spans to be given up", || async {
        assert_eq!(post(&acme, "").await, 202);
        let scraped = management.get("/metrics").await.text;
        let failed = scraped.lines().find_map(|line| line.strip_prefix("weir_spans_total{result=\"failed\"} "));
        failed.is_some_and(|count| count != "0").then_some(())
    })
    .await;
    assert_eq!(post(&acme, "").await, 202);
    app.finish().await;
}
