//! What the door says to callers it does not serve, and about itself.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, TestApp, eventually, token};

/// Every refusal is a problem document that names its code and carries the request's id.
#[track_caller]
fn problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text);
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.body["code"], code, "{}", answer.text);
    assert_eq!(answer.body["request_id"].as_str(), answer.header("x-request-id"));
    for field in ["type", "title", "detail", "instance", "error"] {
        assert!(answer.body[field].is_string(), "{field} missing in {}", answer.text);
    }
}

#[tokio::test]
async fn callers_without_a_right_are_told_so() {
    let app = TestApp::start().await;
    let event = json!({"event_name": "view", "user_id": "u"});

    let nobody = app.client_with(None);
    let answer = nobody.post("/v1/events", &event).await;
    problem(&answer, 401, "unauthorized");
    assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
    problem(&app.client_with(Some("garbage".into())).post("/v1/events", &event).await, 401, "unauthorized");

    let reader = app.client_with(Some(token("acme", "metrics:read")));
    problem(&reader.post("/v1/events", &event).await, 403, "forbidden");
    problem(&reader.get("/v1/accounts/rival/summary").await, 403, "forbidden");
    app.finish().await;
}

#[tokio::test]
async fn broken_requests_get_their_status() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    let json = "application/json";

    problem(&acme.get("/v1/nowhere").await, 404, "not_found");
    let wrong_method = acme.get("/v1/events/batch/x").await;
    assert!([404, 405].contains(&wrong_method.status));
    let wrong_method = acme.post("/v1/accounts/acme/summary", &json!({})).await;
    problem(&wrong_method, 405, "method_not_allowed");
    assert!(wrong_method.header("allow").is_some_and(|allow| allow.contains("GET")), "{:?}", wrong_method.headers);

    problem(&acme.post_raw("/v1/events", "text/plain", "{}").await, 415, "unsupported_media_type");
    problem(&acme.post_raw("/v1/events", json, "{").await, 400, "malformed");
    problem(&acme.post_raw("/v1/events", json, "").await, 400, "malformed");
    problem(&acme.post_raw("/v1/events", json, "[]").await, 400, "malformed");
    problem(&acme.post_raw("/v1/events", json, vec![b' '; 3 << 20]).await, 413, "body_too_large");
    problem(&acme.post("/v1/events/batch", &json!({"events": []})).await, 400, "malformed");

    let faulty = acme.post("/v1/events", &json!({"user_id": "", "channel": "fax", "timestamp": -5})).await;
    problem(&faulty, 400, "invalid_event");
    let pointers: Vec<&Value> =
        faulty.body["errors"].as_array().expect("errors").iter().map(|error| &error["pointer"]).collect();
    for pointer in ["/event_name", "/user_id", "/channel", "/timestamp"] {
        assert!(pointers.contains(&&json!(pointer)), "{pointer} missing in {}", faulty.text);
    }
    let foreign = acme.post("/v1/events", &json!({"event_name": "x", "user_id": "u", "account_id": "rival"})).await;
    problem(&foreign, 403, "account_mismatch");
    app.finish().await;
}

#[tokio::test]
async fn aliases_answer_like_the_canonical_paths() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    acme.post("/events", &json!({"event_name": "view", "user_id": "u"})).await.expect(202);
    eventually("the alias to count it", || async {
        let answer = acme.get("/accounts/acme/summary").await.expect(200);
        (answer.body["total_events"] == 1).then_some(())
    })
    .await;
    app.finish().await;
}

#[tokio::test]
async fn health_and_metrics_answer_where_they_should() {
    let app = TestApp::start().await;
    let public = app.client_with(None);
    let management = Client::new(app.management_url(), None);
    for listener in [&public, &management] {
        assert_eq!(listener.get("/health").await.expect(200).body, json!({"status": "healthy"}));
        // A probe has a second; a busy machine may need another try.
        let ready = eventually("readiness", || async {
            let answer = listener.get("/ready").await;
            (answer.status == 200).then_some(answer.body)
        })
        .await;
        assert_eq!(ready["status"], "ready");
        for system in ["log", "store", "cache"] {
            assert_eq!(ready["checks"][system], "ok", "{ready}");
        }
    }
    management.get("/livez").await.expect(200);
    app.client("acme").post("/v1/events", &json!({"event_name": "view", "user_id": "u"})).await.expect(202);
    let metrics = management.get("/metrics").await.expect(200).text;
    for name in ["http_request_duration_seconds_bucket", "events_ingested_total"] {
        assert!(metrics.contains(name), "{name} missing");
    }
    assert_ne!(public.get("/metrics").await.status, 200, "Prometheus text is not for the public listener");
    app.finish().await;
}

#[test]
fn the_committed_document_is_what_the_code_says() {
    let committed =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/v1.yaml")).expect("openapi/v1.yaml");
    assert!(
        committed.trim_end() == weir::http::document().trim_end(),
        "openapi/v1.yaml differs from the code; run `cargo run -p weir -- openapi > openapi/v1.yaml`"
    );
}
