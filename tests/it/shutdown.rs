//! Stopping: what was accepted is kept, and the process says early that it leaves.

use serde_json::json;
use weir::app::Roles;

use crate::harness::{TestApp, eventually};

#[tokio::test]
async fn a_restart_loses_nothing_and_counts_nothing_twice() {
    let mut app = TestApp::start().await;
    for round in 0..3 {
        let acme = app.client("acme");
        let events: Vec<_> = (0..200)
            .map(|i| json!({"event_id": format!("r{round}-{i}"), "event_name": "view", "user_id": "u"}))
            .collect();
        acme.post("/v1/events/batch", &json!({ "events": events })).await.expect(202);
        app.stop().await;
        app.restart(Roles::ALL).await;
    }
    eventually("600 events", || async { (app.sql("select count(*) from events").await == "600").then_some(()) }).await;
    app.finish().await;
}

#[tokio::test]
async fn an_api_alone_accepts_and_a_worker_alone_stores() {
    let mut app = TestApp::start_with(Roles::API, |_| {}).await;
    let acme = app.client("acme");
    acme.post("/v1/events", &json!({"event_name": "view", "user_id": "u"})).await.expect(202);
    assert_eq!(app.sql("select count(*) from events").await, "0");
    app.stop().await;
    app.restart(Roles::WORKER).await;
    eventually("the event", || async { (app.sql("select count(*) from events").await == "1").then_some(()) }).await;
    app.finish().await;
}
