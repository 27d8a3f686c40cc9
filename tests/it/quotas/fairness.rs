//! Fairness in numbers, while a whale is held to its quota.

use serde_json::json;
use weir::app::Roles;

use super::{event, held_to, operator, set};
use crate::harness::{TestApp, eventually, operator_token};

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_whale_takes_nobodys_share_and_it_can_be_seen() {
    let app = TestApp::start_with(Roles::API, |config| {
        config.limit.limit_charge_ms = 1_000;
        config.limit.usage_tell_ms = 100;
        config.limit.usage_roll_up_ms = 200;
        config.slo.slo_flush_seconds = 1;
    })
    .await;
    let (ops, whale) = (operator(&app), app.client("whale"));
    set(&ops, "whale", json!({"sustained": {"limit": 20}})).await;
    held_to(&whale, "sustained", 20).await;
    let batch = |events: usize| json!({"events": vec![event(); events]});
    whale.post("/v1/events/batch", &batch(50)).await.expect(207);
    for small in ["ann", "ben"] {
        app.client(small).post("/v1/events/batch", &batch(3)).await.expect(202);
    }
    let told = eventually("all to be told", || async {
        let told = ops.get("/v1/admin/fairness").await.expect(200).body;
        let beside = told["accounts"][2]["p99_while_others_spiked_ms"].is_number();
        (told["accounts"][0]["offered"] == 50 && beside).then_some(told)
    })
    .await;
    assert_eq!(told["jain_index_over_entitlement"], 1.0, "{told}");
    assert!(told["jain_index_over_quota"].as_f64() < Some(0.5), "{told}");
    let first = &told["accounts"][0];
    assert_eq!(
        [&first["account_id"], &first["accepted"], &first["entitled"]],
        [&json!("whale"), &json!(20), &json!(20)]
    );
    assert!(first["p99_while_others_spiked_ms"].is_null(), "the whale is what the others are beside: {told}");
    assert_eq!(told["accounts"][1]["account_id"], "ann");
    for client in [&whale, &app.client_with(Some(operator_token("ops", "slo:read")))] {
        client.get("/v1/admin/fairness").await.expect(403);
    }
    app.finish().await;
}
