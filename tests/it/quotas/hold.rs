//! What a quota does to the account: overrides begin and end by themselves, shadow lets through, a spent month is 402.

use serde_json::json;
use weir::app::Roles;
use weir::domain::time::{SECOND, Timestamp};

use super::{event, held_to, operator, path, policy, set};
use crate::harness::{TestApp, eventually, send};

const PATIENT_MS: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_override_begins_and_ends_by_itself() {
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    let (ops, acme) = (operator(&app), app.client("acme"));
    set(&ops, "acme", json!({"sustained": {"limit": 100}})).await;
    held_to(&acme, "sustained", 100).await;
    let mut seen = false;
    // Longer each time, for a machine so busy that it slept through the whole of it.
    for seconds in [4, 12, 40] {
        let now = Timestamp::now();
        let (from, to) = (now.saturating_add_micros(SECOND), now.saturating_add_micros(seconds * SECOND));
        let body = json!({
            "reason": "launch", "quota": {"sustained": {"limit": 500}}, "starts_at": from.to_string(), "ends_at": to.to_string(),
        });
        ops.post(&path("acme", "overrides"), &body).await.expect(201);
        seen = eventually("the override to have been", || async {
            let counts = policy(&acme, "sustained").await["limit"] == 500;
            (counts || Timestamp::now() > to).then_some(counts)
        })
        .await;
        if seen {
            break;
        }
    }
    assert!(seen, "it never counted");
    // Nothing is changed and nobody is told: it ends.
    held_to(&acme, "sustained", 100).await;
    let quota = ops.get(&path("acme", "quota")).await.expect(200);
    assert_eq!((&quota.body["overrides"], &quota.body["effective"]["sustained"]["limit"]), (&json!([]), &json!(100)));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_is_over_when_it_is_ended() {
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    let (ops, acme) = (operator(&app), app.client("acme"));
    let make = async |limit: i64| {
        let body = json!({"reason": "r", "quota": {"burst": {"limit": limit}}, "ends_at": "2027-10-01T00:00:00Z"});
        ops.post(&path("acme", "overrides"), &body).await.expect(201).body["override_id"].clone()
    };
    let (_, later) = (make(50).await, make(60).await);
    held_to(&acme, "burst", 60).await;
    let end = format!("{}/{later}?reason=enough", path("acme", "overrides"));
    send(ops.request("DELETE", &end).header("if-match", "\"0\"")).await.expect("answer").expect(412);
    send(ops.request("DELETE", &end)).await.expect("answer").expect(204);
    held_to(&acme, "burst", 50).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow_counts_and_lets_through_and_enforcing_it_refuses() {
    let app = TestApp::start_with(Roles::API, |config| config.limit.limit_charge_ms = PATIENT_MS).await;
    let (ops, acme) = (operator(&app), app.client("acme"));
    set(&ops, "acme", json!({"sustained": {"limit": 3, "mode": "shadow"}})).await;
    held_to(&acme, "sustained", 3).await;
    let shadowed = async || {
        let metrics = acme.get_at(&app.management_url(), "/metrics").await.text;
        let line = metrics.lines().find(|line| line.starts_with("weir_limit_shadow_units_total{policy=\"sustained\"}"));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|count| count.parse::<f64>().ok()).expect("a count")
    };
    let before = shadowed().await;
    let batch = json!({"events": vec![event(); 10]});
    acme.post("/v1/events/batch", &batch).await.expect(202);
    eventually("shadow to count", || async { (shadowed().await > before).then_some(()) }).await;
    let told = policy(&acme, "sustained").await;
    assert_eq!((&told["mode"], &told["remaining"]), (&json!("shadow"), &json!(0)), "{told}");

    set(&ops, "acme", json!({"sustained": {"limit": 3}})).await;
    eventually("it to be enforced", || async { (policy(&acme, "sustained").await["mode"] == "enforce").then_some(()) })
        .await;
    acme.post("/v1/events/batch", &batch).await.expect(429);
    set(&ops, "acme", json!({"sustained": {"limit": 3, "mode": "off"}})).await;
    eventually("it to be off", || async { policy(&acme, "sustained").await.is_null().then_some(()) }).await;
    acme.post("/v1/events/batch", &batch).await.expect(202);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_month_is_402_until_it_is_raised() {
    let app = TestApp::start_with(Roles::API, |config| config.limit.limit_charge_ms = PATIENT_MS).await;
    let (ops, acme) = (operator(&app), app.client("acme"));
    set(&ops, "acme", json!({"monthly": {"limit": 3}})).await;
    held_to(&acme, "monthly", 3).await;
    let batch = json!({"events": vec![event(); 5]});
    let partial = acme.post("/v1/events/batch", &batch).await.expect(207);
    assert_eq!(partial.body["accepted"], 3);
    let spent = acme.post("/v1/events", &event()).await.expect(402);
    assert_eq!(spent.body["violated-policies"], json!(["monthly"]));
    assert!(spent.header("retry-after").is_some());
    app.client("other").post("/v1/events", &event()).await.expect(202);
    set(&ops, "acme", json!({"monthly": {"limit": 10}})).await;
    held_to(&acme, "monthly", 10).await;
    acme.post("/v1/events/batch", &batch).await.expect(202);
    app.finish().await;
}
