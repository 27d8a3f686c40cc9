//! The worker shares by the weights operators set.

use serde_json::json;
use weir::app::Roles;

use super::{event, operator, set};
use crate::harness::{TestApp, eventually};

const EACH: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_heavier_account_gets_more_of_each_write() {
    let mut app = TestApp::start_with(Roles::API, |config| {
        config.kafka.kafka_partitions = 1;
        config.worker.worker_concurrency = 1;
        config.worker.worker_batch_events = 20;
    })
    .await;
    set(&operator(&app), "heavy", json!({"weight": 9})).await;
    let (heavy, light) = (app.client("heavy"), app.client("light"));
    let batch = json!({"events": vec![event(); 50]});
    for _ in 0..EACH / 50 {
        heavy.post("/v1/events/batch", &batch).await.expect(202);
        light.post("/v1/events/batch", &batch).await.expect(202);
    }
    app.stop().await;
    app.restart(Roles::WORKER).await;
    let all = (2 * EACH).to_string();
    eventually("all is stored", || async { (app.sql("select count(*) from events").await == all).then_some(()) }).await;
    let first = format!(
        "select count(*) from (select account_id from events order by stored_at limit {EACH}) as first
          where account_id = 'heavy'"
    );
    let share: usize = app.sql(&first).await.parse().expect("a count");
    println!("heavy has {share} of the first {EACH}");
    assert!(share > EACH * 6 / 10, "{share} of the first {EACH}: half is what it has without its weight");
    app.finish().await;
}
