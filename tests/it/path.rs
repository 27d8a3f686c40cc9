//! An event's way from the door to the summary.

use serde_json::{Value, json};

use crate::harness::{TestApp, eventually};

fn signup(user: &str) -> Value {
    json!({"event_name": "signup", "user_id": user, "channel": "web"})
}

#[tokio::test]
async fn an_event_goes_in_and_its_summary_comes_out() {
    let app = TestApp::start().await;
    let acme = app.client("acme");

    let answer = acme.post("/v1/events", &signup("u1")).await.expect(202);
    assert_eq!(answer.body["status"], "accepted");
    let event_id = answer.body["event_id"].as_str().expect("event id").to_owned();
    assert!(answer.body["partition"].is_i64() && answer.body["offset"].is_i64(), "{}", answer.text);
    let place = format!("{}/{}/{}/", app.config().kafka.kafka_topic, answer.body["partition"], answer.body["offset"]);
    let receipt = answer.body["receipt"].as_str().expect("receipt");
    assert!(receipt.starts_with(&place) && receipt.ends_with(&format!("/{event_id}")), "{receipt}");
    assert_eq!(answer.header("x-request-id"), answer.body["request_id"].as_str());

    let event = eventually("the event to be stored", || async {
        let answer = acme.get(&format!("/v1/events/{event_id}")).await;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_eq!(event["event_name"], "signup");
    assert_eq!(event["user_id"], "u1");
    assert_eq!(event["channel"], "web");
    assert_eq!(event["account_id"], "acme");
    assert_eq!(event["schema_version"], 1);

    let summary = eventually("the summary to count it", || async {
        let answer = acme.get("/v1/accounts/acme/summary").await.expect(200);
        // Fresh as far as all partitions of the account are known, which is a moment after the first is.
        (answer.body["total_events"] == 1 && answer.body["data_as_of"].is_string()).then_some(answer.body)
    })
    .await;
    assert_eq!(summary["account_id"], "acme");
    assert_eq!(summary["counts"], json!([{"event_name": "signup", "events": 1}]));
    assert_eq!(summary["top_users"], json!([{"user_id": "u1", "events": 1}]));
    assert!(summary["data_as_of"].is_string() && summary["lag_seconds"].is_number(), "{summary}");
    app.finish().await;
}

#[tokio::test]
async fn every_field_is_kept_and_metadata_byte_for_byte() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    let metadata = r#"{ "b": 1.50,"a":[1e2, "\u00e9"],  "deep":{"x":null} }"#;
    let body = format!(
        r#"{{"event_id":"order-1","type":"order","user_id":"u9","channel":"mobile","source":"ios","campaign_id":"spring",
            "timestamp":1700000000,"tags":["a","b"],"value":12.340,"schema_version":1,"metadata":{metadata}}}"#
    );
    acme.post_raw("/v1/events", "application/json", body).await.expect(202);
    let answer = eventually("the event to be stored", || async {
        let answer = acme.get("/v1/events/order-1").await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert!(answer.text.contains(metadata), "{}", answer.text);
    let event = answer.body;
    assert_eq!(event["event_name"], "order");
    assert_eq!(event["source"], "ios");
    assert_eq!(event["campaign_id"], "spring");
    assert_eq!(event["timestamp"], "2023-11-14T22:13:20Z");
    assert_eq!(event["tags"], json!(["a", "b"]));
    assert_eq!(event["value"].to_string(), "12.34");
    assert_eq!(app.sql("select value from events").await, "12.340", "numeric keeps the scale");
    app.finish().await;
}

#[tokio::test]
async fn a_batch_answers_for_every_item_in_order() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    let batch = json!({"events": [
        {"event_id": "a", "event_name": "view", "user_id": "u1"},
        {"event_id": "b", "event_name": "view"},
        {"event_id": "a", "event_name": "view", "user_id": "u1"},
        {"event_id": "c", "event_name": "view", "user_id": "u2", "account_id": "other"},
        {"event_id": "d", "event_name": "view", "user_id": "u2"},
    ]});
    let answer = acme.post("/v1/events/batch", &batch).await.expect(207);
    let statuses: Vec<_> =
        answer.body["results"].as_array().expect("results").iter().map(|item| item["status"].clone()).collect();
    assert_eq!(statuses, ["accepted", "rejected", "duplicate", "rejected", "accepted"]);
    assert_eq!(answer.body["results"][1]["errors"][0]["pointer"], "/user_id", "{}", answer.text);
    assert_eq!(answer.body["results"][3]["code"], "account_mismatch", "{}", answer.text);
    for (index, item) in answer.body["results"].as_array().expect("results").iter().enumerate() {
        assert_eq!(item["index"], index);
    }

    let clean = json!({"events": [{"event_name": "view", "user_id": "u1"}]});
    acme.post("/v1/events/batch", &clean).await.expect(202);
    eventually("three events", || async { (app.sql("select count(*) from events").await == "3").then_some(()) }).await;
    let ids =
        app.sql("select string_agg(event_id, ',' order by event_id) from events where length(event_id) = 1").await;
    assert_eq!(ids, "a,d");
    app.finish().await;
}

#[tokio::test]
async fn a_repeat_is_accepted_again_and_stored_once() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    let event = json!({"event_id": "same", "event_name": "view", "user_id": "u1"});
    for _ in 0..5 {
        acme.post("/v1/events", &event).await.expect(202);
    }
    acme.post("/v1/events", &json!({"event_id": "last", "event_name": "view", "user_id": "u1"})).await.expect(202);
    eventually("the last event", || async { (acme.get("/v1/events/last").await.status == 200).then_some(()) }).await;
    assert_eq!(app.sql("select count(*) from events").await, "2");
    app.finish().await;
}

#[tokio::test]
async fn the_listing_pages_newest_first_without_gaps() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    let events: Vec<_> = (0..25)
        .map(|i| json!({"event_id": format!("e{i:02}"), "event_name": "view", "user_id": "u", "timestamp": 1_700_000_000 + i / 2}))
        .collect();
    acme.post("/v1/events/batch", &json!({ "events": events })).await.expect(202);
    eventually("25 events", || async { (app.sql("select count(*) from events").await == "25").then_some(()) }).await;

    let mut seen = Vec::new();
    let mut path = "/v1/events?limit=10".to_owned();
    loop {
        let page = acme.get(&path).await.expect(200).body;
        let data = page["data"].as_array().expect("data").clone();
        seen.extend(data.iter().map(|event| event["event_id"].as_str().expect("id").to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/events?limit=10&cursor={cursor}"),
            None => break,
        }
    }
    let expected: Vec<_> = (0..25).rev().map(|i| format!("e{i:02}")).collect();
    assert_eq!(seen, expected);
    acme.get("/v1/events?cursor=nonsense").await.expect(400);
    acme.get("/v1/events?limit=251").await.expect(400);
    app.finish().await;
}

#[tokio::test]
async fn an_account_never_sees_another() {
    let app = TestApp::start().await;
    let (acme, rival) = (app.client("acme"), app.client("rival"));
    let event = json!({"event_id": "secret", "event_name": "view", "user_id": "u1"});
    acme.post("/v1/events", &event).await.expect(202);
    eventually("the event to be stored", || async {
        (acme.get("/v1/events/secret").await.status == 200).then_some(())
    })
    .await;
    rival.get("/v1/events/secret").await.expect(404);
    assert_eq!(rival.get("/v1/events").await.expect(200).body["data"], json!([]));
    rival.get("/v1/accounts/acme/summary").await.expect(403);
    assert_eq!(rival.get("/v1/accounts/rival/summary").await.expect(200).body["total_events"], 0);
    app.finish().await;
}
