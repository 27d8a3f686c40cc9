//! Limits on the whole path: told on success, refused with a reason and a time, and nobody else's business.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir::app::{App, Roles};

use crate::harness::{Answer, Client, TestApp, send, token};

/// A busy machine may answer late, and what is asked twice counts twice: these tests count.
const PATIENT_MS: u64 = 1_000;

fn event(name: &str) -> Value {
    json!({"event_name": name, "user_id": "u"})
}

fn batch(events: usize) -> Value {
    json!({"events": vec![event("n"); events]})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_learns_its_limits_and_is_refused_by_name() {
    let app = TestApp::start_with(Roles::ALL, |config| {
        config.limit.limit_sustained = 10;
        config.limit.limit_burst = 8;
        config.limit.limit_charge_ms = PATIENT_MS;
    })
    .await;
    let (whale, small) = (app.client("whale"), app.client("small"));
    let taken = whale.post("/v1/events", &event("first")).await.expect(202);
    assert!(
        taken.header("ratelimit-policy").expect("policies").starts_with("\"sustained\";q=10;w=60, \"burst\";q=8;w=1")
    );
    assert!(taken.header("ratelimit").expect("room").contains(";r="));

    let partial = whale.post("/v1/events/batch", &batch(20)).await.expect(207);
    let statuses: Vec<_> =
        partial.body["results"].as_array().expect("lines").iter().map(|line| line["status"].clone()).collect();
    assert!(statuses[..7].iter().all(|status| status == "accepted"), "{statuses:?}");
    assert!(statuses[9..].iter().all(|status| status == "limited"), "{statuses:?}");

    let refused = whale.post("/v1/events/batch", &batch(8)).await;
    let refused = if refused.status == 207 { whale.post("/v1/events", &event("more")).await } else { refused };
    let refused = refused.expect(429);
    assert_eq!(refused.body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    let policy = refused.body["violated-policies"][0].as_str().expect("named").to_owned();
    assert!(refused.header("ratelimit").expect("told").starts_with(&format!("\"{policy}\";r=0;t=")));
    let wait: i64 = refused.header("retry-after").expect("told").parse().expect("seconds");
    assert_eq!(refused.body["retry_after_seconds"], wait);

    small.post("/v1/events/batch", &batch(8)).await.expect(202);
    let limits = whale.get("/v1/limits").await.expect(200);
    let first = &limits.body["policies"][0];
    assert_eq!((&first["name"], &first["limit"], &first["mode"]), (&json!("sustained"), &json!(10), &json!("enforce")));
    assert!(first["used"].as_i64().expect("number") >= 8, "{first}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_one_limit_and_waiting_is_enough() {
    let app = TestApp::start_with(Roles::API, |config| {
        config.limit.limit_burst = 6;
        config.limit.limit_charge_ms = PATIENT_MS;
    })
    .await;
    let other = App::start(app.config().clone(), Roles::API).await.expect("a second instance");
    let address = other.public_address().expect("a listener");
    let clients = [app.client("whale"), Client::new(format!("http://{address}"), Some(token("whale", "events:write")))];
    let begun = Instant::now();
    let mut taken = 0;
    let mut last = None;
    for turn in 0..30 {
        let answer = clients[turn % 2].post("/v1/events", &event("n")).await;
        match answer.status {
            202 => taken += 1,
            _ => last = Some(answer.expect(429)),
        }
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("short") + 1;
    assert!(taken <= 6 * seconds, "{taken} in {seconds} s");
    let wait = last.expect("somebody was refused").header("retry-after").expect("told").parse().expect("seconds");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    clients[0].post("/v1/events", &event("after waiting")).await.expect(202);
    other.stop().await.expect("stops");
    app.finish().await;
}

fn retry_after(answer: &Answer) -> Duration {
    Duration::from_secs(answer.header("retry-after").expect("told").parse().expect("whole seconds"))
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_charged_while_they_come_and_not_read_once_the_account_is_over() {
    let app = TestApp::start_with(Roles::API, |config| {
        config.limit.limit_sustained = 1_500;
        config.limit.limit_charge_ms = PATIENT_MS;
    })
    .await;
    let line = event("n").to_string();
    let body = vec![line.as_str(); 4_000].join("\n");
    let client = app.client("whale");
    let partial = client.post_raw("/v1/events/batch", "application/x-ndjson", body).await.expect(207);
    let results = partial.body["results"].as_array().expect("lines");
    assert_eq!(partial.body["accepted"], 1_500);
    assert!(results[1_500..].iter().all(|line| line["status"] == "limited" && line["code"] == "sustained"));
    assert!(results.len() <= 2_001, "two chunks were read and one line stands for the rest: {}", results.len());
    assert!(results.last().expect("a line")["detail"].as_str().expect("text").contains("not read"));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_charged_when_read_whatever_becomes_of_the_events() {
    let app = TestApp::start_with(Roles::API, |config| {
        config.limit.limit_bytes = 10_000;
        config.limit.limit_charge_ms = PATIENT_MS;
    })
    .await;
    let (whale, small) = (app.client("whale"), app.client("small"));
    let fat = json!({"event_name": "n", "user_id": "u", "metadata": {"text": "x".repeat(2_900)}});
    let bad = json!({"event_name": "", "user_id": "u", "metadata": {"text": "x".repeat(2_900)}});
    whale.post("/v1/events", &bad).await.expect(400);
    whale.post_raw("/v1/events", "application/json", format!("{}{{", " ".repeat(2_900))).await.expect(400);
    whale.post("/v1/events/validate", &fat).await.expect(200);
    let refused = whale.post("/v1/events", &fat).await.expect(429);
    assert_eq!(refused.body["violated-policies"], json!(["bytes"]));
    assert!(refused.body["observed"].as_i64() > Some(10_000), "{}", refused.text);
    assert!(refused.body["event_id"].is_string(), "{}", refused.text);
    whale.post("/v1/events", &event("small")).await.expect(202);
    small.post("/v1/events", &fat).await.expect(202);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_0_closes_the_door_before_the_body() {
    let app = TestApp::start_with(Roles::API, |config| config.limit.limit_sustained = 0).await;
    let client = app.client("blocked");
    let refused = client.post_raw("/v1/events", "text/nonsense", "never read").await.expect(429);
    assert_eq!((&refused.body["limit"], &refused.body["violated-policies"]), (&json!(0), &json!(["sustained"])));
    assert!(retry_after(&refused) >= Duration::from_secs(1));
    client.get("/v1/limits").await.expect(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_limit_and_only_trusted_proxies_speak_for_others() {
    let app = TestApp::start_with(Roles::API, |config| {
        config.limit.limit_per_ip = 5;
        config.limit.limit_trusted_proxies = vec!["127.0.0.0/8".parse().expect("range")];
    })
    .await;
    let client = app.client("acme");
    let from = |address: &'static str| send(client.request("GET", "/v1/limits").header("x-forwarded-for", address));
    let mut refused = None;
    for _ in 0..50 {
        let answer = from("192.0.2.1").await.expect("answer");
        if answer.status != 200 {
            refused = Some(answer.expect(429));
            break;
        }
    }
    let refused = refused.expect("50 requests within a second or two, five a second allowed");
    assert_eq!(refused.body["code"], "address_limited");
    assert!(retry_after(&refused) >= Duration::from_secs(1));
    from("198.51.100.7").await.expect("answer").expect(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pace_is_suggested_before_the_limit_is_met() {
    let app = TestApp::start_with(Roles::API, |config| {
        config.limit.limit_sustained = 100;
        config.limit.limit_charge_ms = PATIENT_MS;
    })
    .await;
    let client = app.client("acme");
    assert!(client.post("/v1/events/batch", &batch(50)).await.expect(202).body["pace"].is_null());
    let hinted = client.post("/v1/events/batch", &batch(40)).await.expect(202);
    assert_eq!(hinted.body["pace"], json!({"batch_events": 1, "delay_ms": 6_000}));
    let hinted = client.post("/v1/events", &event("n")).await.expect(202);
    assert_eq!(hinted.body["pace"], json!({"batch_events": 1, "delay_ms": 6_667}));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_events_are_taken_and_each_instance_keeps_its_share() {
    let app = TestApp::start_with(Roles::API, |config| {
        config.limit.limit_sustained = 20;
        // Nobody listens there.
        config.redis.redis_url = Some(weir::config::Secret::new("redis://127.0.0.1:1/"));
    })
    .await;
    let client = app.client("acme");
    client.post("/v1/events/batch", &batch(15)).await.expect(202);
    let partial = client.post("/v1/events/batch", &batch(10)).await.expect(207);
    assert_eq!(partial.body["accepted"], 5);
    let metrics = reqwest::get(format!("{}/metrics", app.management_url())).await.expect("metrics");
    assert!(metrics.text().await.expect("text").contains("weir_limit_alone 1"));
    app.finish().await;
}
