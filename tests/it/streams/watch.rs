//! What a stream shows.

use serde_json::json;

use super::client::{Sse, Ws, send};
use crate::harness::{TestApp, token};

#[tokio::test]
async fn whoever_watches_sees_every_event_of_his_account_and_none_of_others() {
    let app = TestApp::start().await;
    let (acme, other) = (app.client("acme"), app.client("other"));
    let mut sse = Sse::open(&acme, "/v1/stream", None).await;
    let mut ws = Ws::open(&app, "/v1/ws", Some(&token("acme", "events:read"))).await.expect("socket");
    let (greeting, greeted) = (sse.next().await.expect("greeting"), ws.next().await.expect("greeting"));
    assert_eq!((&greeting["type"], &greeted["type"]), (&json!("heartbeat"), &json!("heartbeat")));

    let mut sent = Vec::new();
    for round in 0..5 {
        send(&other, "theirs", round * 10, 10).await;
        sent.extend(send(&acme, "ours", round * 10, 10).await);
    }
    assert_eq!(sse.ids(sent.len()).await, sent);
    for id in &sent {
        let frame = ws.next().await.expect("frame");
        assert_eq!((&frame["event_id"], &frame["account_id"]), (&json!(id), &json!("acme")), "{frame}");
        assert!(frame["received_at"].is_string() && frame["user_id"] == "u1" && frame["id"].is_string());
    }
    drop((sse, ws));
    app.finish().await;
}

#[tokio::test]
async fn filters_narrow_a_stream_and_repeats_are_shown_with_their_id() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    let topic = app.config().kafka.kafka_topic.clone();
    let mut bought = Sse::open(&acme, &format!("/v1/stream?event_name=buy&topic={topic}"), None).await;
    let mut ada = Sse::open(&acme, "/v1/stream?user_id=ada", None).await;
    for stream in [&mut bought, &mut ada] {
        assert_eq!(stream.next().await.expect("greeting")["type"], "heartbeat");
    }
    for (id, name, user) in [("1", "view", "ada"), ("2", "buy", "bob"), ("3", "buy", "ada"), ("3", "buy", "ada")] {
        let event = json!({"event_name": name, "user_id": user, "event_id": id});
        acme.post("/v1/events", &event).await.expect(202);
    }
    assert_eq!(bought.ids(3).await, ["2", "3", "3"]);
    assert_eq!(ada.ids(3).await, ["1", "3", "3"]);
    acme.get("/v1/stream?topic=nothing").await.expect(404);
    drop((bought, ada));
    app.finish().await;
}

#[tokio::test]
async fn records_that_are_no_events_or_lie_about_their_account_are_not_shown() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    let mut stream = Sse::open(&acme, "/v1/stream", None).await;
    stream.next().await.expect("greeting");
    let producer = weir::kafka::Producer::start(&app.config().kafka).expect("producer");
    let other = weir::domain::event::Event {
        account_id: crate::stores::account("other"),
        ..crate::stores::event("x", "stolen")
    };
    let record = |value: Vec<u8>| weir::kafka::Record {
        topic: app.config().kafka.kafka_topic.as_str().into(),
        key: Some(b"acme".to_vec().into()),
        value: Some(value.into()),
        headers: vec![("v".into(), Some(b"1".to_vec().into()))],
    };
    let records = vec![record(b"hello".to_vec()), record(weir::codec::envelope::encode(&other))];
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    let placed = weir::kafka::Publish::publish(&*producer, records, deadline).await;
    assert!(placed.iter().all(Result::is_ok), "{placed:?}");
    let sent = send(&acme, "ours", 0, 1).await;
    assert_eq!(stream.ids(1).await, sent);
    drop(stream);
    app.finish().await;
}
