//! The reading half of the API over HTTP: what was sent is read back at once, measured, counted and traced, by its own account
//! only.

use serde_json::{Value, json};

use crate::harness::{Client, TestApp, eventually};

async fn send(client: &Client, event: Value) -> (String, String) {
    let answer = client.post("/v1/events", &event).await.expect(202).body;
    let text = |name: &str| answer[name].as_str().expect("text").to_owned();
    (text("event_id"), text("receipt"))
}

fn with(path: &str, name: &str, value: &str) -> String {
    let value: String = value
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    format!("{path}{}{name}={value}", if path.contains('?') { '&' } else { '?' })
}

#[tokio::test]
async fn whoever_shows_a_receipt_reads_what_he_wrote_everywhere() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    // What was read before is kept by both caches.
    acme.get("/v1/accounts/acme/summary").await.expect(200);
    for n in 1..=3_u64 {
        let value = format!("{n}.50").parse::<f64>().expect("number");
        let (_, receipt) = send(&acme, json!({"event_name": "buy", "user_id": format!("u{n}"), "value": value})).await;
        let summary = acme.get(&with("/v1/accounts/acme/summary", "min_receipt", &receipt)).await.expect(200);
        assert_eq!(summary.body["total_events"], n, "{}", summary.text);
        assert_eq!((summary.header("age"), &summary.body["stale"]), (Some("0"), &json!(false)));
        let metrics = acme.get(&with("/v1/metrics?event_name=buy", "min_receipt", &receipt)).await.expect(200).body;
        assert_eq!((&metrics["total_events"], &metrics["unique_users"]), (&json!(n), &json!(n)));
        let page = acme.get(&with("/v1/events", "min_receipt", &receipt)).await.expect(200).body;
        assert_eq!(page["data"].as_array().map(Vec::len), Some(n as usize));
        assert_eq!(page["answered_by"], "primary");
    }
    // Null until a worker has come to each of the account's partitions.
    eventually("a time up to which the answer is complete", || async {
        let page = acme.get("/v1/events").await.expect(200).body;
        (page["data_as_of"].is_string() && page["lag_seconds"].is_number()).then_some(())
    })
    .await;
    let metrics = acme.get("/v1/metrics?event_name=buy").await.expect(200);
    assert!(metrics.text.contains(r#""value":{"count":3,"sum":7.5,"average":2.5"#), "{}", metrics.text);
    app.finish().await;
}

#[tokio::test]
async fn metrics_are_those_of_the_seed_document() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    let mut last = String::new();
    for (user, channel, timestamp) in [
        ("a", "web", 1_767_225_600),
        ("a", "mobile", 1_767_225_660),
        ("b", "web", 1_767_232_800),
        ("c", "web", 1_700_000_000),
    ] {
        let event = json!({"event_name": "view", "user_id": user, "channel": channel, "timestamp": timestamp});
        last = send(&acme, event).await.1;
    }
    let read = |query: String| {
        let path = with(&format!("/v1/metrics?{query}"), "min_receipt", &last);
        let acme = &acme;
        async move { acme.get(&path).await }
    };
    let range = "event_name=view&from=1767225600&to=2026-01-01T02:00:00Z";
    let body = read(format!("{range}&group_by=channel")).await.expect(200).body;
    assert_eq!(
        (&body["event_name"], &body["total_events"], &body["unique_users"]),
        (&json!("view"), &json!(3), &json!(2))
    );
    assert_eq!((&body["from"], &body["to"]), (&json!("2026-01-01T00:00:00Z"), &json!("2026-01-01T02:00:00Z")));
    assert_eq!(body["grouped_by"], "channel");
    let told = |body: &Value| -> Vec<(String, u64, u64)> {
        let groups = body["data"].as_array().expect("groups").iter();
        let number = |group: &Value, name: &str| group[name].as_u64().expect("number");
        groups
            .map(|group| {
                let name = group["group"].as_str().expect("name").to_owned();
                (name, number(group, "total_events"), number(group, "unique_users"))
            })
            .collect()
    };
    assert_eq!(told(&body), [("mobile".to_owned(), 1, 1), ("web".to_owned(), 2, 2)]);

    let body = read(format!("{range}&group_by=hour&time_zone=Asia/Kathmandu&limit=1")).await.expect(200).body;
    assert_eq!(told(&body), [("2026-01-01T05:00:00+05:45".to_owned(), 2, 1)]);
    let cursor = body["next_cursor"].as_str().expect("more");
    let next = read(format!("{range}&group_by=hour&time_zone=Asia/Kathmandu&limit=1&cursor={cursor}")).await;
    assert_eq!(told(&next.expect(200).body), [("2026-01-01T07:00:00+05:45".to_owned(), 1, 1)]);

    let path = format!("/metrics?{range}&group_by=day");
    let csv = acme.request("GET", &path).header("accept", "text/csv").send().await.expect("answer");
    assert!(csv.headers()["content-type"].to_str().expect("text").starts_with("text/csv"));
    let table = csv.text().await.expect("text");
    assert!(table.ends_with("2026-01-01,3,2,0,,,false\r\n"), "{table}");

    for (query, named) in [
        ("from=1", "event_name"),
        ("event_name=view&from=2&to=1", "from"),
        ("event_name=view&group_by=colour", "group_by"),
        ("event_name=view&time_zone=Mars", "time_zone"),
        ("event_name=view&cursor=x", ""),
    ] {
        let refused = acme.get(&format!("/v1/metrics?{query}")).await.expect(400).body;
        assert!(refused["error"].is_string(), "{refused}");
        assert!(refused.to_string().contains(named), "{query}: {refused}");
    }
    assert_eq!(app.client_with(None).get("/metrics?event_name=view").await.status, 401);
    app.finish().await;
}

#[tokio::test]
async fn a_trace_tells_what_became_of_an_event_and_only_to_its_account() {
    let app = TestApp::start().await;
    let (acme, other) = (app.client("acme"), app.client("other"));
    let (id, receipt) = send(&acme, json!({"event_name": "view", "user_id": "u"})).await;
    let path = format!("/v1/events/{id}/trace");
    let trace = eventually("the event to be stored", || async {
        let trace = acme.get(&with(&path, "receipt", &receipt)).await.expect(200).body;
        assert!(trace["status"] == "logged" || trace["status"] == "stored", "{trace}");
        // Fresh as far as all partitions of the account are known, which is a moment after the first is.
        (trace["status"] == "stored" && trace["data_as_of"].is_string()).then_some(trace)
    })
    .await;
    assert!(["received_at", "stored_at", "counted_in", "data_as_of"].iter().all(|name| trace[name].is_string()));
    assert_eq!(trace["logged"], true);
    assert!(receipt.starts_with(trace["logged_at"].as_str().expect("place")), "{trace}");

    assert_eq!(other.get(&path).await.expect(200).body["status"], "unknown");
    other.get(&with(&path, "receipt", &receipt)).await.expect(400);
    other.get(&with("/v1/events", "min_receipt", &receipt)).await.expect(400);
    other.get(&with("/v1/accounts/other/summary", "min_receipt", &receipt)).await.expect(400);
    acme.get(&with("/v1/events/another/trace", "receipt", &receipt)).await.expect(400);

    let topic = &app.config().kafka.kafka_topic;
    let latest =
        |client: Client| async move { client.get(&format!("/v1/topics/{topic}/latest")).await.expect(200).body };
    assert_eq!(latest(acme.clone()).await["data"][0]["event_id"], id.as_str());
    assert_eq!(latest(other).await["data"], json!([]));
    acme.get("/v1/topics/weir.dead-letters/latest").await.expect(404);
    app.finish().await;
}

#[tokio::test]
async fn counters_follow_the_events_as_they_come_in() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    assert_eq!(acme.get("/v1/counters").await.expect(200).body["total_events"], 0);
    for user in 0..5 {
        send(&acme, json!({"event_name": "view", "user_id": format!("u{user}")})).await;
    }
    let counters = eventually("five events to be counted", || async {
        let counters = acme.get("/v1/counters?minutes=5").await.expect(200).body;
        (counters["total_events"] == 5).then_some(counters)
    })
    .await;
    assert_eq!(counters["counted_by"], "redis");
    assert_eq!(counters["counts"], json!([{"event_name": "view", "events": 5}]));
    assert_eq!(counters["minutes"].as_array().map(Vec::len), Some(5));
    app.finish().await;
}
