//! What one account can see of another through every read there is: not a byte.

use serde_json::json;

use crate::harness::{Answer, Client, TestApp, eventually};

/// In everything the other account has, and in nothing the first one sends or has.
const THEIRS: &str = "zebra";

/// Every documented GET of a tenant; streams have tests of their own.
const COVERED: [&str; 13] = [
    "/accounts/{account_id}/summary",
    "/metrics",
    "/v1/accounts/{account_id}/summary",
    "/v1/counters",
    "/v1/events",
    "/v1/events/{event_id}",
    "/v1/events/{event_id}/trace",
    "/v1/limits",
    "/v1/metrics",
    "/v1/slo",
    // Public keys of reports: the same for everybody.
    "/v1/slo/keys",
    "/v1/stream",
    "/v1/topics/{topic}/latest",
];

async fn send(client: &Client, word: &str, count: usize) -> Vec<String> {
    let mut receipts = Vec::new();
    for n in 0..count {
        let id = if n == 0 { "both".to_owned() } else { format!("{word}-{n}") };
        let event = json!({
            "event_id": id, "event_name": if n == 0 { "both".to_owned() } else { format!("{word}-name-{n}") },
            "user_id": format!("{word}-user"), "source": format!("{word}-source-{n}"), "metadata": {"kept": word},
        });
        let answer = client.post("/v1/events?wait=stored", &event).await.expect(200).body;
        receipts.push(answer["receipt"].as_str().expect("receipt").replace('#', "%23").replace('+', "%2B"));
    }
    receipts
}

#[track_caller]
fn clean(answer: Answer, status: u16) -> Answer {
    let answer = answer.expect(status);
    assert!(!answer.text.contains(THEIRS), "{}", answer.text);
    answer
}

#[tokio::test]
async fn an_account_sees_nothing_of_another_by_path_id_receipt_or_cursor() {
    let app = TestApp::start().await;
    let (acme, other) = (app.client("acme"), app.client("other"));
    let receipts = send(&other, THEIRS, 4).await;
    send(&acme, "mine", 4).await;
    let topic = app.config().kafka.kafka_topic.clone();
    // The other account reads all of it, so there is something to be seen.
    for path in ["/v1/events", "/v1/accounts/other/summary", "/v1/counters", &format!("/v1/topics/{topic}/latest")] {
        eventually("the other account's own answer", || async {
            other.get(path).await.expect(200).text.contains(THEIRS).then_some(())
        })
        .await;
    }

    for path in ["/v1/events", "/v1/counters", "/v1/accounts/acme/summary", &format!("/v1/topics/{topic}/latest")] {
        assert!(clean(acme.get(path).await, 200).text.contains("mine"), "{path}");
    }
    let service = clean(acme.get("/v1/slo").await, 200);
    assert!(!service.text.contains("\"other\""), "{}", service.text);
    let (own, asked) = (service.body["account_id"].clone(), acme.get("/v1/slo?account_id=other").await);
    assert!(asked.status != 200 || asked.body["account_id"] == own, "{}", asked.text);
    assert!(!clean(acme.get("/v1/limits").await, 200).text.contains("other"));
    // Paths: an account that is there and one that is not get the same answer.
    for alias in ["/v1", ""] {
        let [there, nowhere] = ["other", "nobody"].map(|account| format!("{alias}/accounts/{account}/summary"));
        let (there, nowhere) = (acme.get(&there).await.expect(403), acme.get(&nowhere).await.expect(403));
        assert_eq!((&there.body["code"], &there.body["detail"]), (&nowhere.body["code"], &nowhere.body["detail"]));
    }
    // Ids: another's event is no event, and where both have one each gets its own.
    let (theirs, nobodys) = (format!("{THEIRS}-1"), "nothing-1".to_owned());
    let mut answers = Vec::new();
    for id in [theirs, nobodys] {
        let missing = acme.get(&format!("/v1/events/{id}")).await.expect(404).body;
        let trace = acme.get(&format!("/v1/events/{id}/trace")).await.expect(200).body;
        assert_eq!((&trace["status"], &trace["stored_at"]), (&json!("unknown"), &json!(null)));
        answers.push((missing["code"].clone(), missing["detail"].clone(), trace["dead_letters"].clone()));
    }
    assert_eq!(answers[0], answers[1]);
    clean(acme.get("/v1/events/both").await, 200);
    clean(acme.get("/v1/events/both/trace").await, 200);
    // Receipts.
    for path in [
        format!("/v1/events/both/trace?receipt={}", receipts[0]),
        format!("/v1/events?min_receipt={}", receipts[0]),
        format!("/v1/metrics?event_name=both&min_receipt={}", receipts[0]),
        format!("/v1/accounts/acme/summary?min_receipt={}", receipts[0]),
    ] {
        clean(acme.get(&path).await, 400);
    }
    // Cursors of another's pages lead through one's own events only.
    let page = other.get("/v1/events?limit=1").await.expect(200).body;
    let cursor = page["next_cursor"].as_str().expect("more");
    clean(acme.get(&format!("/v1/events?cursor={cursor}")).await, 200);
    let page = other.get("/v1/metrics?event_name=both&group_by=source&limit=1").await.expect(200).body;
    assert_eq!(page["data"][0]["group"], format!("{THEIRS}-source-0"));
    for alias in ["/v1/metrics", "/metrics"] {
        let own = clean(acme.get(&format!("{alias}?event_name=both&group_by=source")).await, 200).body;
        assert_eq!((&own["total_events"], &own["unique_users"]), (&json!(1), &json!(1)));
        let none = acme.get(&format!("{alias}?event_name={THEIRS}-name-1")).await.expect(200).body;
        assert_eq!((&none["total_events"], &none["unique_users"]), (&json!(0), &json!(0)));
    }
    // Filters.
    for filter in ["event_name", "user_id", "source"] {
        let value = if filter == "user_id" { format!("{THEIRS}-user") } else { format!("{THEIRS}-{filter}-1") };
        let page = clean(acme.get(&format!("/v1/events?{filter}={value}")).await, 200).body;
        assert_eq!(page["data"], json!([]));
    }
    app.finish().await;
}

#[test]
fn every_documented_read_is_looked_at() {
    let document = weir::http::document();
    let (mut path, mut reads) = ("", Vec::new());
    for line in document.lines() {
        if let Some(name) = line.strip_prefix("  /") {
            path = name.trim_end_matches(':');
        } else if line == "    get:" {
            reads.push(format!("/{path}"));
        }
    }
    let of_tenants = |path: &String| !["/health", "/ready"].contains(&path.as_str()) && !path.contains("/admin/");
    let unknown: Vec<_> = reads.iter().filter(|path| of_tenants(path) && !COVERED.contains(&path.as_str())).collect();
    assert!(reads.len() >= COVERED.len() && unknown.is_empty(), "no test says who may read {unknown:?}");
}
