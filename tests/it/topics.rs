//! Topics by event-name class: made by an operator while all runs, taken by the events of their names and read by the workers
//! within ten seconds; every other event takes the default topic.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Answer, Client, TestApp, eventually, operator_token, send, token};

async fn put(operator: &Client, class: &str, if_match: Option<&str>, names: &[&str]) -> Answer {
    let request =
        operator.request("PUT", &format!("/v1/admin/topics/{class}")).header("content-type", "application/json");
    let request = if let Some(tag) = if_match { request.header("if-match", tag) } else { request };
    let body = json!({"reason": "orders are read by others too", "event_names": names});
    send(request.body(body.to_string())).await.expect("answer")
}

#[tokio::test]
async fn a_class_takes_its_events_to_a_topic_that_workers_read_within_ten_seconds() {
    let app = TestApp::start().await;
    let (operator, acme) = (app.client_with(Some(operator_token("ops", "topics:admin"))), app.client("acme"));
    app.client_with(Some(token("acme", "topics:admin"))).get("/v1/admin/topics").await.expect(403);
    // The worker reads before the class is made, so that the new topic comes while all runs.
    acme.post("/v1/events?wait=stored", &json!({"event_name": "order.before", "user_id": "u"})).await.expect(200);

    let changed = Instant::now();
    let created = put(&operator, "orders", None, &["order.*", "refund"]).await.expect(201);
    let topic = format!("{}.class.orders", app.config().kafka.kafka_topic);
    assert_eq!(created.body["topic"], topic);
    let progress = async |topics: &str| app.sql(&format!("select sum(next_offset) from log_progress {topics}")).await;
    let of_class = format!("where topic = '{topic}'");
    let mut posted = 1;
    // A worker that has come to a partition notes its offset 0.
    while ["", "0"].contains(&progress(&of_class).await.as_str()) {
        acme.post("/v1/events?wait=stored", &json!({"event_name": "order.paid", "user_id": "u"})).await.expect(200);
        posted += 1;
        assert!(changed.elapsed() < Duration::from_secs(10), "no event took the topic of the class in ten seconds");
    }

    // Whatever is not of the class takes the default topic, and all is counted.
    let settled = async |posted: i32| {
        eventually("all progress to be noted", || async { (progress("").await == posted.to_string()).then_some(()) })
            .await;
        progress(&of_class).await
    };
    let before = settled(posted).await;
    for name in ["view", "order", "refunds"] {
        acme.post("/v1/events", &json!({"event_name": name, "user_id": "u"})).await.expect(202);
    }
    assert_eq!(settled(posted + 3).await, before);
    acme.post("/v1/events", &json!({"event_name": "refund", "user_id": "u"})).await.expect(202);
    assert_ne!(settled(posted + 4).await, before, "the exact name takes the topic too");

    each_topic_lists_its_own(&acme, &app.config().kafka.kafka_topic, &topic).await;

    let tag = created.header("etag").expect("ETag").to_owned();
    put(&operator, "orders", None, &["order.*"]).await.expect(428);
    let clash = put(&operator, "rivals", None, &["refund"]).await.expect(409);
    assert!(clash.body["detail"].as_str().expect("detail").contains("orders"));
    let refused = put(&operator, "bad", None, &["a*b", ""]).await.expect(400);
    assert_eq!(refused.body["errors"].as_array().map(Vec::len), Some(2));
    let list = operator.get("/v1/admin/topics").await.expect(200);
    assert_eq!(list.body["data"][0], json!({"class": "orders", "topic": topic, "event_names": ["order.*", "refund"]}));
    let remove = operator.request("DELETE", "/v1/admin/topics/orders?reason=over").header("if-match", &tag);
    send(remove).await.expect("answer").expect(204);
    app.finish().await;
}

/// `latest` is about the names that take the topic, also those of events that came before the class was made.
async fn each_topic_lists_its_own(acme: &Client, default: &str, class: &str) {
    let names = async |topic: &str| {
        let page = acme.get(&format!("/v1/topics/{topic}/latest?limit=250")).await.expect(200).body;
        assert_eq!(page["next_cursor"], json!(null));
        let events = page["data"].as_array().expect("events").iter();
        events.map(|event| event["event_name"].as_str().expect("name").to_owned()).collect::<Vec<_>>()
    };
    let of_class = names(class).await;
    assert_eq!(of_class.first().map(String::as_str), Some("refund"), "newest first");
    assert_eq!(of_class.last().map(String::as_str), Some("order.before"));
    assert!(of_class[1..].iter().all(|name| name.starts_with("order.")), "{of_class:?}");
    assert_eq!(names(default).await, ["refunds", "order", "view"]);
    assert_eq!(
        acme.get(&format!("/v1/topics/{class}/latest?limit=1")).await.expect(200).body["data"][0]["event_name"],
        "refund"
    );
    acme.get(&format!("/v1/topics/{class}s/latest")).await.expect(404);
}
