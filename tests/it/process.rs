//! The binary itself, as an orchestrator sees it.

use std::process::Stdio;

use serde_json::json;
use tokio::task::JoinSet;
use weir::app::Roles;

use crate::harness::{Client, TestApp, eventually, free_port, terminate, token};

/// SIGTERM while requests run: the process exits 0, and whatever it answered with 202 is stored.
#[tokio::test]
async fn sigterm_under_load_loses_nothing_and_exits_0() {
    let app = TestApp::start_with(Roles::WORKER, |_| {}).await;
    let port = free_port();
    let mut child = app.command("api", port).stdout(Stdio::null()).spawn().expect("weir");
    let client = Client::new(format!("http://127.0.0.1:{port}"), Some(token("acme", "events:write")));
    eventually("the process to serve", || async {
        client.try_get("/health").await.filter(|answer| answer.status == 200)
    })
    .await;

    let mut senders = JoinSet::new();
    for sender in 0..8 {
        let client = client.clone();
        senders.spawn(async move {
            let mut accepted = 0;
            for index in 0.. {
                let event = json!({"event_id": format!("{sender}-{index}"), "event_name": "view", "user_id": "u"});
                match client.try_post("/v1/events", &event).await {
                    Some(answer) if answer.status == 202 => accepted += 1,
                    _ => break,
                }
            }
            accepted
        });
    }
    eventually("the load to arrive", || async { (app.sql("select count(*) from events").await != "0").then_some(()) })
        .await;
    terminate(&child);
    let accepted: u64 = senders.join_all().await.into_iter().sum();
    let status = eventually("the process to end", || {
        let status = child.try_wait().expect("wait");
        async move { status }
    })
    .await;
    assert_eq!(status.code(), Some(0));

    assert!(accepted > 0);
    let enough = || async {
        let stored: u64 = app.sql("select count(*) from events").await.parse().expect("number");
        // An answer may be lost on the way although the event was taken: one a sender at most.
        (accepted..=accepted + 8).contains(&stored).then_some(())
    };
    eventually("everything accepted to be stored", enough).await;
    app.finish().await;
}
