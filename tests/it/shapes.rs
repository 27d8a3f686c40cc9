//! Every shape a body may have, one by one: what is taken, what is told, what is stored.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, TestApp, eventually, pack, send, token};

const NDJSON: &str = "application/x-ndjson";
const CLOUD_EVENT: &str = "application/cloudevents+json";
const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";

fn event(id: &str) -> Value {
    json!({"event_id": id, "event_name": "view", "user_id": "u"})
}

fn cloud_event(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/shop", "type": "order.paid", "subject": "u1",
           "time": "2026-01-31T12:00:00Z", "data": {"order": id}})
}

fn words<'a>(answer: &'a Answer, member: &str) -> Vec<&'a str> {
    let results = answer.body["results"].as_array().expect("results");
    results.iter().map(|line| line[member].as_str().unwrap_or("-")).collect()
}

async fn stored(client: &Client, id: &str) -> Value {
    eventually("the event to be stored", || async {
        let answer = client.get(&format!("/v1/events/{id}")).await;
        (answer.status == 200).then_some(answer.body)
    })
    .await
}

#[tokio::test]
async fn lines_are_taken_one_by_one_and_caps_spare_what_came_before() {
    let app = TestApp::start_with(weir::app::Roles::ALL, |config| {
        config.ingest.max_ndjson_events = 5;
        config.ingest.max_ndjson_bytes = 4_000;
        config.ingest.max_batch_events = 2;
    })
    .await;
    let acme = app.client("acme");
    let body = format!("{}\r\n\nnot json\n{}\n{{}}\n{}", event("l1"), event("l1"), event("l2"));
    let answer = acme.post_raw("/v1/events/batch", NDJSON, body).await.expect(207);
    assert_eq!(words(&answer, "status"), ["accepted", "rejected", "duplicate", "rejected", "accepted"]);
    assert_eq!(words(&answer, "code"), ["-", "malformed", "-", "invalid_event", "-"]);
    assert_eq!(answer.body["results"][3]["errors"][0]["pointer"], "/event_name");

    let many: String = (0..7).map(|n| format!("{}\n", event(&format!("m{n}")))).collect();
    let answer = acme.post_raw("/v1/events/batch", NDJSON, many).await.expect(207);
    assert_eq!(words(&answer, "code"), ["-", "-", "-", "-", "-", "batch_too_large"]);
    assert_eq!(answer.body["results"][5]["index"], 5);

    // Declared too long: refused before a byte is read. Not declared: what came before the cap is kept.
    let padded = format!("{}\n{}\n{}", event("w1"), event("w2"), " ".repeat(5_000));
    acme.post_raw("/v1/events/batch", NDJSON, padded.clone()).await.expect(413);
    let pieces: Vec<_> = padded.as_bytes().chunks(500).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let streamed = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let answer = acme.post_raw("/v1/events/batch", NDJSON, streamed).await.expect(207);
    assert_eq!(words(&answer, "code"), ["-", "-", "body_too_large"]);
    let packed = pack("gzip", padded.as_bytes()).await;
    let request = acme.request("POST", "/v1/events/batch").header("content-type", NDJSON);
    let cut = request.header("content-encoding", "gzip").body(packed[..packed.len() - 4].to_vec());
    let answer = send(cut).await.expect("answer");
    assert!([207, 400, 413].contains(&answer.status), "{}", answer.text);

    assert_eq!(acme.post_raw("/v1/events/batch", NDJSON, "\n \n").await.expect(400).body["code"], "malformed");
    let nothing = acme.post_raw("/v1/events/batch", NDJSON, "{}\n[]").await.expect(400);
    assert_eq!(words(&nothing, "code"), ["invalid_event", "malformed"]);
    stored(&acme, "w2").await;
    app.finish().await;
}

#[tokio::test]
async fn cloud_events_come_structured_in_batches_and_in_headers() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    acme.post_raw("/v1/events", CLOUD_EVENT, cloud_event("c1").to_string()).await.expect(202);
    let event = stored(&acme, "c1").await;
    assert_eq!((&event["event_name"], &event["user_id"]), (&json!("order.paid"), &json!("u1")));
    assert_eq!((&event["source"], &event["metadata"]), (&json!("/shop"), &json!({"order": "c1"})));
    assert_eq!(event["timestamp"], "2026-01-31T12:00:00Z");

    let batch = json!([cloud_event("c2"), {"specversion": "1.0", "id": "c3", "type": "t", "time": 1e9}]);
    let answer = acme.post_raw("/v1/events/batch", CLOUD_EVENTS, batch.to_string()).await.expect(207);
    let errors = answer.body["results"][1]["errors"].as_array().expect("errors").clone();
    let pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().expect("pointer")).collect();
    assert_eq!(pointers, ["/source", "/subject", "/time"]);

    let binary = |id: &str, data: &'static str| {
        let request = acme.request("POST", "/v1/events").header("ce-specversion", "1.0").header("ce-id", id);
        let request = request.header("ce-source", "/shop").header("ce-type", "order%20paid").header("ce-subject", "u");
        send(request.header("content-type", "application/json").body(data))
    };
    binary("c4", "{\"n\": 1}").await.expect("answer").expect(202);
    let event = stored(&acme, "c4").await;
    assert_eq!((&event["event_name"], &event["metadata"]), (&json!("order paid"), &json!({"n": 1})));
    let answer = binary("c5", "[1]").await.expect("answer").expect(400);
    assert_eq!(answer.body["errors"][0]["pointer"], "/data");
    binary("c6", "{},\"subject\":\"x\"").await.expect("answer").expect(400);

    let wrong = acme.post_raw("/v1/events", CLOUD_EVENTS, "[]").await.expect(415);
    assert!(wrong.body["detail"].as_str().is_some_and(|detail| detail.contains(CLOUD_EVENT)), "{}", wrong.text);
    app.finish().await;
}

#[tokio::test]
async fn trying_takes_nothing_and_waiting_ends_in_the_store() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    let verdict = acme.post("/v1/events/validate", &event("v1")).await.expect(200);
    assert_eq!((&verdict.body["accepted"], &verdict.body["results"][0]["receipt"]), (&json!(1), &Value::Null));
    let batch = json!({"events": [event("v1"), event("v1"), {}]});
    let verdict = acme.post("/v1/events/validate", &batch).await.expect(207);
    assert_eq!(words(&verdict, "status"), ["accepted", "duplicate", "rejected"]);
    acme.post("/v1/events/validate", &json!({"user_id": "u"})).await.expect(400);
    acme.post_raw("/v1/events/validate", CLOUD_EVENT, cloud_event("v2").to_string()).await.expect(200);

    let answer = acme.post("/v1/events?wait=stored", &event("s1")).await.expect(200);
    assert_eq!(answer.body["status"], "accepted");
    acme.get("/v1/events/s1").await.expect(200);
    let batch = json!({"events": [event("s2"), event("s3"), event("s2")]});
    acme.post("/v1/events/batch?wait=stored", &batch).await.expect(200);
    acme.get("/v1/events/s3").await.expect(200);
    acme.post("/v1/events?wait=forever", &event("s4")).await.expect(400);
    assert_eq!(app.sql("select count(*) from events").await, "3");

    // The sender's clock is a day ahead, and so are its times.
    let now = weir::domain::time::Timestamp::now().unix_seconds();
    let (sent, then) = (now + 86_400, now + 86_300);
    let late = json!({"event_id": "t1", "event_name": "view", "user_id": "u", "timestamp": then});
    acme.post("/v1/events", &late).await.expect(400);
    acme.post(&format!("/v1/events?sent_at={sent}&wait=stored"), &late).await.expect(200);
    let at = stored(&acme, "t1").await["timestamp"].as_str().expect("time").to_owned();
    let at = weir::domain::time::Timestamp::parse(&at).expect("time").unix_seconds();
    assert!((now - 102..now - 90).contains(&at), "{at} {now}");
    app.finish().await;
}

#[tokio::test]
async fn browsers_may_call_from_named_origins_and_leave_beacons() {
    const SHOP: &str = "https://shop.example";
    let app = TestApp::start_with(weir::app::Roles::ALL, |config| config.http.cors_origins = vec![SHOP.into()]).await;
    let nobody = app.client_with(None);
    let ask = |origin: &'static str| {
        let request = nobody.request("OPTIONS", "/v1/events").header("origin", origin);
        send(request.header("access-control-request-method", "POST"))
    };
    let allowed = ask(SHOP).await.expect("answer").expect(204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(SHOP));
    assert!(allowed.header("access-control-allow-headers").is_some_and(|names| names.contains("Idempotency-Key")));
    let refused = ask("https://evil.example").await.expect("answer").expect(405);
    assert_eq!(refused.header("access-control-allow-origin"), None);
    let request = nobody.request("POST", "/v1/events").header("origin", SHOP);
    let problem =
        send(request.header("content-type", "application/json").body("{}")).await.expect("answer").expect(401);
    assert_eq!(problem.header("access-control-allow-origin"), Some(SHOP), "a script may read why it was refused");
    assert!(problem.header("access-control-expose-headers").is_some_and(|names| names.contains("Retry-After")));

    let path = |scope: &str| format!("/v1/beacon?access_token={}", token("acme", scope));
    let text = "text/plain;charset=UTF-8";
    let ingest_only = path("events:write");
    nobody.post_raw(&ingest_only, text, event("b1").to_string()).await.expect(202);
    let batch = json!({"events": [event("b2"), {}]}).to_string();
    nobody.post_raw(&ingest_only, text, batch).await.expect(207);
    nobody.post_raw(&path("events:write events:read"), text, event("b3").to_string()).await.expect(403);
    nobody.post_raw(&path("events:read"), text, event("b3").to_string()).await.expect(403);
    nobody.post_raw("/v1/beacon", text, event("b3").to_string()).await.expect(401);
    nobody.post_raw("/v1/beacon?access_token=x&access_token=y", text, "{}").await.expect(401);
    nobody.post_raw(&ingest_only, "application/json", "{}").await.expect(415);
    let elsewhere = format!("/v1/events?access_token={}", token("acme", "events:write"));
    nobody.post_raw(&elsewhere, "application/json", event("b3").to_string()).await.expect(401);
    app.client("acme").post_raw("/v1/beacon", text, event("b3").to_string()).await.expect(401);
    stored(&app.client("acme"), "b2").await;
    assert_eq!(app.sql("select count(*) from events").await, "2");
    app.finish().await;
}

#[tokio::test]
async fn packed_bodies_have_their_own_refusals() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    let post = async |coding: &str, body: Vec<u8>| {
        let request = acme.request("POST", "/v1/events/batch").header("content-type", "application/json");
        send(request.header("content-encoding", coding).body(body)).await.expect("answer")
    };
    let batch = json!({"events": [event("z1")]}).to_string();
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let packed = pack(coding, batch.as_bytes()).await;
        assert_eq!(post(coding, packed[..packed.len() - 1].to_vec()).await.expect(400).body["code"], "invalid_request");
        post(coding, [&packed[..], b"garbage"].concat()).await.expect(400);
        let bomb = pack(coding, &vec![b' '; 12 << 20]).await;
        assert_eq!(post(coding, bomb).await.expect(413).body["code"], "body_too_large");
        post(coding, packed).await.expect(202);
    }
    for coding in ["gzip, gzip", "gzip, br", "compress", "gzip;q=1"] {
        let refused = post(coding, batch.clone().into_bytes()).await.expect(415);
        assert_eq!(refused.header("accept-encoding"), Some("gzip, deflate, br, zstd"), "{coding}");
    }
    post("identity", batch.into_bytes()).await.expect(202);
    stored(&acme, "z1").await;
    app.finish().await;
}
