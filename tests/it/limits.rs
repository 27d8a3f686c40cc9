//! Limits on the whole path: told on success, refused with a reason and a time, and nobody else's business.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir::app::{App, Roles};

use crate::harness::{Client, TestApp, token};

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
    })
    .await;
    let (whale, small) = (app.client("whale"), app.client("small"));
    let taken = whale.post("/v1/events", &event("first")).await.expect(202);
    assert!(
        taken.header("ratelimit-policy").expect("policies").starts_with("\"sustained\";q=10;w=60, \"burst\";q=8;w=1")
    );
    assert!(taken.header("ratelimit").expect("room").contains(";r="));
    assert_eq!(taken.header("x-weir-lane"), Some("standard"));

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
    assert_eq!(limits.body["lane"], "standard");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_one_limit_and_waiting_is_enough() {
    let app = TestApp::start_with(Roles::API, |config| config.limit.limit_burst = 6).await;
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
