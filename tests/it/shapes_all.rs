//! Every shape in every coding at once: whatever was said to be accepted is stored once, and nothing that was refused is.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{CODINGS, Client, TestApp, eventually, pack, send, token};

const CLIENTS: usize = 100;
const SHAPES: [&str; 7] = ["single", "batch", "lines", "cloud_event", "cloud_event_binary", "cloud_events", "beacon"];

/// Ids of one request: good ones, and ones whose events break a rule.
struct Ids {
    good: Vec<String>,
    bad: Vec<String>,
}

impl Ids {
    fn of(client: usize, shape: &str, coding: &str) -> Self {
        let ids = |kind: &str, count: usize| {
            (0..count).map(|n| format!("{kind}-{client}-{shape}-{coding}-{n}")).collect::<Vec<_>>()
        };
        let single = matches!(shape, "single" | "cloud_event" | "cloud_event_binary");
        // Every tenth client sends single events that are refused.
        match (single, client.is_multiple_of(10)) {
            (true, true) => Self { good: vec![], bad: ids("bad", 1) },
            (true, false) => Self { good: ids("good", 1), bad: vec![] },
            (false, _) => Self { good: ids("good", 3), bad: ids("bad", 2) },
        }
    }
}

fn event(id: &str) -> Value {
    let user = if id.starts_with("bad") { json!("  ") } else { json!("u") };
    json!({"event_id": id, "event_name": "view", "user_id": user})
}

fn cloud_event(id: &str) -> Value {
    let subject = if id.starts_with("bad") { json!("  ") } else { json!("u") };
    json!({"specversion": "1.0", "id": id, "source": "s", "type": "view", "subject": subject})
}

/// Path, media type and body.
fn request(shape: &str, ids: &[&String]) -> (String, &'static str, String) {
    let events = || ids.iter().map(|id| event(id)).collect::<Vec<_>>();
    let clouds = || ids.iter().map(|id| cloud_event(id)).collect::<Vec<_>>();
    let (events_path, batch_path) = ("/v1/events".to_owned(), "/v1/events/batch".to_owned());
    match shape {
        "single" => (events_path, "application/json", events()[0].to_string()),
        "batch" => (batch_path, "application/json", json!({"events": events()}).to_string()),
        "lines" => {
            let lines: Vec<String> = events().iter().map(Value::to_string).collect();
            (batch_path, "application/x-ndjson", lines.join("\n"))
        }
        "cloud_event" => (events_path, "application/cloudevents+json", clouds()[0].to_string()),
        "cloud_event_binary" => (events_path, "application/json", json!({"amount": 1.5}).to_string()),
        "cloud_events" => (batch_path, "application/cloudevents-batch+json", Value::from(clouds()).to_string()),
        _ => {
            let path = format!("/v1/beacon?access_token={}", token("acme", "events:write"));
            (path, "text/plain", json!({"events": events()}).to_string())
        }
    }
}

/// A CloudEvent whose attributes are headers; a blank one cannot be sent as such, a missing one breaks the same rule.
fn attributes(id: &str) -> Vec<(&'static str, String)> {
    let mut attributes = vec![("ce-specversion", "1.0"), ("ce-id", id), ("ce-source", "s"), ("ce-type", "view")];
    if !id.starts_with("bad") {
        attributes.push(("ce-subject", "u"));
    }
    attributes.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

/// Sends one client's share; gives the ids said to be accepted.
async fn one_client(acme: Client, client: usize) -> Vec<String> {
    let mut accepted = Vec::new();
    for shape in SHAPES {
        // Plain, and in one of the codings that make it smaller.
        for coding in [CODINGS[0], CODINGS[1 + client % 4]] {
            let ids = Ids::of(client, shape, coding);
            let all: Vec<&String> = ids.bad.iter().chain(&ids.good).collect();
            let (path, media, body) = request(shape, &all);
            let packed = pack(coding, body.as_bytes()).await;
            let mut request = acme.request("POST", &path).header("content-type", media);
            if shape == "cloud_event_binary" {
                for (name, value) in attributes(all[0]) {
                    request = request.header(name, value);
                }
            }
            let answer = send(request.header("content-encoding", coding).body(packed)).await.expect("answer");
            let expected = match (ids.good.is_empty(), ids.bad.is_empty()) {
                (false, true) => 202,
                (true, _) => 400,
                (false, false) => 207,
            };
            assert_eq!(answer.status, expected, "{shape} {coding}: {}", answer.text);
            let lines = answer.body["results"].as_array().cloned().unwrap_or_else(|| vec![answer.body.clone()]);
            let taken = lines.iter().filter(|line| line["status"] == "accepted");
            let taken: Vec<String> = taken.map(|line| line["event_id"].as_str().expect("id").to_owned()).collect();
            assert_eq!(taken, ids.good, "{shape} {coding}");
            accepted.extend(taken);
        }
    }
    accepted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clients_in_every_shape_and_coding() {
    let app = TestApp::start_with(weir::app::Roles::ALL, |config| {
        (config.limit.limit_burst, config.limit.limit_sustained) = (1_000_000, 1_000_000);
    })
    .await;
    let clients = (0..CLIENTS).map(|client| one_client(app.client("acme"), client));
    let accepted: BTreeSet<String> = futures_util::future::join_all(clients).await.concat().into_iter().collect();
    assert!(accepted.len() > 2_000, "{}", accepted.len());
    let count = accepted.len().to_string();
    eventually("all to be stored", || async { (app.sql("select count(*) from events").await == count).then_some(()) })
        .await;
    let stored = app.sql("select event_id from events order by 1").await;
    let stored: BTreeSet<String> = stored.lines().map(|line| line.trim().to_owned()).collect();
    assert!(stored == accepted, "what was accepted and what is stored differ");
    app.finish().await;
}
