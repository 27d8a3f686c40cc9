//! Batches sent again under one Idempotency-Key: the same answer, a refusal, or, with Redis away, a second taking.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Answer, Client, TestApp, eventually, send, token};

async fn post(client: &Client, key: &str, body: String, media: &str) -> Answer {
    let request = client.request("POST", "/v1/events/batch").header("idempotency-key", key);
    send(request.header("content-type", media).body(body)).await.expect("answer")
}

fn batch(ids: &[&str]) -> String {
    let events: Vec<Value> =
        ids.iter().map(|id| json!({"event_id": id, "event_name": "view", "user_id": "u"})).collect();
    json!({ "events": events }).to_string()
}

#[tokio::test]
async fn a_key_gets_one_answer() {
    const JSON: &str = "application/json";
    const NDJSON: &str = "application/x-ndjson";
    let app = TestApp::start_with(weir::app::Roles::ALL, |config| config.kafka.kafka_ack_timeout_ms = 14_000).await;
    let (acme, rival) = (app.client("acme"), app.client("rival"));

    let first = post(&acme, "\"k1\"", batch(&["a", "b"]), JSON).await.expect(202);
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = post(&acme, "k1", batch(&["a", "b"]), JSON).await.expect(202);
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "quoted and bare are one key");
    assert_eq!(again.text, first.text, "receipts and all");
    let other = post(&acme, "k1", batch(&["c"]), JSON).await.expect(422);
    assert_eq!(other.body["code"], "idempotency_key_reused");
    post(&rival, "k1", batch(&["a"]), JSON).await.expect(202);

    // A refusal is an answer too.
    let refused = post(&acme, "k2", "{}".into(), JSON).await.expect(400);
    let again = post(&acme, "k2", "{}".into(), JSON).await.expect(400);
    assert_eq!((again.header("idempotent-replayed"), &again.text), (Some("true"), &refused.text));

    let lines = "{\"event_id\":\"l\",\"event_name\":\"view\",\"user_id\":\"u\"}\n";
    let first = post(&acme, "k3", lines.into(), NDJSON).await.expect(202);
    assert_eq!(post(&acme, "k3", lines.into(), NDJSON).await.expect(202).text, first.text);
    post(&acme, "k3", lines.repeat(2), NDJSON).await.expect(422);
    for bad in ["\"open", "a b", &"x".repeat(256)] {
        let refused = post(&acme, bad, batch(&["d"]), JSON).await.expect(400);
        assert_eq!(refused.body["errors"][0]["pointer"], "/header/Idempotency-Key");
    }

    a_key_in_use(&app, &acme).await;

    // Many at once: one is taken, the others are told to wait or get its answer.
    let calls = (0..20).map(|_| post(&acme, "k4", batch(&["e"]), JSON));
    let answers = futures_util::future::join_all(calls).await;
    let fresh = answers.iter().filter(|answer| answer.status == 202 && answer.header("idempotent-replayed").is_none());
    assert_eq!(fresh.count(), 1);
    for answer in &answers {
        assert!([202, 409].contains(&answer.status), "{}", answer.text);
        assert!(answer.status == 202 || answer.header("retry-after").is_some());
    }
    eventually("all to be stored", || async { (app.sql("select count(*) from events").await == "6").then_some(()) })
        .await;
    app.finish().await;
}

/// A second request with a key gets 409 while the body of the first is still on its way, and the first's answer after.
async fn a_key_in_use(app: &TestApp, acme: &Client) {
    let body = batch(&["slow"]);
    let mut first = TcpStream::connect(app.url().trim_start_matches("http://")).await.expect("connect");
    let head = format!(
        "POST /v1/events/batch HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {}\r\nidempotency-key: in-use\r\n\
         content-type: application/json\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        token("acme", "events:write"),
        body.len()
    );
    first.write_all(head.as_bytes()).await.expect("head");
    // The door asks for the body only once the key is claimed.
    let mut wanted = [0; 25];
    first.read_exact(&mut wanted).await.expect("100");
    assert_eq!(&wanted, b"HTTP/1.1 100 Continue\r\n\r\n");
    // The body may take 7.5 s here, the log 10 after it and the answer one more: nobody else may have the key meanwhile.
    let left = claimed_for(app, "acme", "in-use").await;
    assert!(left > Duration::from_secs(20), "{left:?}");
    let second = post(acme, "in-use", body.clone(), "application/json").await.expect(409);
    assert_eq!(
        (second.body["code"].as_str(), second.header("retry-after")),
        (Some("idempotency_key_in_use"), Some("1"))
    );
    first.write_all(body.as_bytes()).await.expect("body");
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.expect("answer");
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let third = post(acme, "in-use", body, "application/json").await.expect(202);
    assert!(answer.ends_with(&third.text), "{answer} against {}", third.text);
}

/// How much longer a key is claimed.
async fn claimed_for(app: &TestApp, account: &str, key: &str) -> Duration {
    let url = app.config().redis.redis_url.as_ref().expect("Redis").expose().to_owned();
    let mut redis = redis::Client::open(url).expect("client").get_multiplexed_async_connection().await.expect("Redis");
    let pattern = format!("*{{{account}}}*{key}");
    let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut redis).await.expect("keys");
    assert_eq!(keys.len(), 1, "{keys:?}");
    let left: u64 = redis::cmd("PTTL").arg(&keys[0]).query_async(&mut redis).await.expect("a claim ends by itself");
    Duration::from_millis(left)
}

#[tokio::test]
async fn without_redis_events_go_on() {
    let app = TestApp::start_with(weir::app::Roles::ALL, |config| {
        config.redis.redis_url = Some(weir::config::Secret::new("redis://127.0.0.1:1"));
    })
    .await;
    let acme = app.client("acme");
    for _ in 0..2 {
        let answer = post(&acme, "k", batch(&["a"]), "application/json").await.expect(202);
        assert_eq!(answer.header("idempotent-replayed"), None);
    }
    eventually("it to be stored once", || async {
        (app.sql("select count(*) from events").await == "1").then_some(())
    })
    .await;
    app.finish().await;
}
