//! Going on where one was: nothing missing, nothing twice, whatever happened between.

use weir::app::Roles;
use weir::config::Secret;

use super::client::{Sse, Ws, send};
use crate::harness::{TestApp, token};

async fn start() -> TestApp {
    TestApp::start_with(Roles::ALL, |config| {
        // Two processes, one after the other, that must open each other's ids.
        config.receipts.receipt_key = Some(Secret::new("a secret of the tests, long enough"));
        config.stream.stream_heartbeat_seconds = 1;
    })
    .await
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_even_in_the_next_process() {
    let mut app = start().await;
    let mut acme = app.client("acme");
    let mut stream = Sse::open(&acme, "/v1/stream", None).await;
    // Left before the first event: the greeting is enough to come back.
    let greeting = stream.next().await.expect("greeting")["id"].as_str().expect("id").to_owned();
    drop(stream);
    let first = send(&acme, "first", 0, 7).await;
    let mut stream = Sse::open(&acme, "/v1/stream", Some(&greeting)).await;
    assert_eq!(stream.ids(5).await, first[..5]);
    let last = stream.next_told().await.expect("frame");
    drop(stream);

    let second = send(&acme, "second", 0, 3).await;
    app.stop().await;
    app.restart(Roles::ALL).await;
    acme = app.client("acme");
    let third = send(&acme, "third", 0, 2).await;
    let missed: Vec<_> = first[6..].iter().chain(&second).chain(&third).cloned().collect();
    let id = last["id"].as_str().expect("id");
    let mut stream = Sse::open(&acme, "/v1/stream", Some(id)).await;
    assert_eq!(stream.ids(missed.len()).await, missed);
    let mut ws = Ws::open(&app, &format!("/v1/ws?after={id}"), Some(&token("acme", "events:read"))).await.expect("ws");
    let mut seen = Vec::new();
    while seen.len() < missed.len() {
        let frame = ws.next().await.expect("frame");
        seen.extend(frame["event_id"].as_str().map(str::to_owned));
    }
    assert_eq!(seen, missed);
    // Caught up with: the tail goes on.
    let fourth = send(&acme, "fourth", 0, 2).await;
    assert_eq!(stream.ids(2).await, fourth);
    drop((stream, ws));
    app.finish().await;
}

#[tokio::test]
async fn however_often_a_client_comes_back_under_load_it_sees_each_event_once_and_in_order() {
    const ROUNDS: usize = 60;
    let app = start().await;
    let (acme, noise) = (app.client("acme"), app.client("noise"));
    let sending = async {
        for round in 0..ROUNDS {
            send(&acme, "n", round * 25, 25).await;
            send(&noise, "noise", round * 25, 25).await;
        }
    };
    let mut stream = Sse::open(&acme, "/v1/stream", None).await;
    let mut last = stream.next().await.expect("greeting")["id"].as_str().expect("id").to_owned();
    let watching = async {
        let mut seen = Vec::new();
        while seen.len() < ROUNDS * 25 {
            let mut stream = Sse::open(&app.client("acme"), "/v1/stream", Some(&last)).await;
            for _ in 0..97.min(ROUNDS * 25 - seen.len()) {
                let frame = stream.next_told().await.expect("frame");
                assert_eq!(frame["type"], "event", "{frame}");
                seen.push(frame["event_id"].as_str().expect("id").to_owned());
                last = frame["id"].as_str().expect("id").to_owned();
            }
        }
        seen
    };
    let ((), seen) = tokio::join!(sending, watching);
    let all: Vec<_> = (0..ROUNDS * 25).map(|n| format!("n-{n:05}")).collect();
    assert_eq!(seen, all);
    drop(stream);
    app.finish().await;
}

#[tokio::test]
async fn a_heartbeat_covers_what_a_filter_left_out() {
    let app = start().await;
    let acme = app.client("acme");
    let mut stream = Sse::open(&acme, "/v1/stream?event_name=rare", None).await;
    let greeting = stream.next().await.expect("greeting");
    send(&acme, "common", 0, 5).await;
    // The beat's place moves on although nothing was shown.
    let beat = loop {
        let frame = stream.next().await.expect("beat");
        if frame["id"] != greeting["id"] {
            break frame;
        }
    };
    assert_eq!(beat["type"], "heartbeat");
    drop(stream);
    let sent = send(&acme, "new", 0, 1).await;
    let mut stream = Sse::open(&acme, "/v1/stream", beat["id"].as_str()).await;
    let mut seen = stream.ids(1).await;
    // Beats may come between the five: at most those after it are shown again.
    while seen.last() != sent.last() {
        assert!(seen.len() <= 5 && seen.iter().all(|id| id.starts_with("common")), "{seen:?}");
        seen.extend(stream.ids(1).await);
    }
    drop(stream);
    app.finish().await;
}
