//! Who may watch, how many, how long, and what happens to those who read too slowly.

use serde_json::json;
use weir::app::Roles;

use super::client::{Sse, Ws};
use crate::harness::{TestApp, eventually, short_token, token};

#[tokio::test]
async fn only_a_token_to_watch_with_opens_a_stream_and_only_with_its_own_ids() {
    let app = TestApp::start().await;
    let (acme, other, nobody) = (app.client("acme"), app.client("other"), app.client_with(None));
    let mut theirs = Sse::open(&other, "/v1/stream", None).await;
    let id = theirs.next().await.expect("greeting")["id"].as_str().expect("id").to_owned();
    let (watch, more) = (token("acme", "events:read"), token("acme", "events:read events:write"));
    acme.get(&format!("/v1/stream?after={id}")).await.expect(400);
    acme.get("/v1/stream?after=nonsense").await.expect(400);
    nobody.get("/v1/stream").await.expect(401);
    app.client_with(Some(token("acme", "events:write"))).get("/v1/stream").await.expect(403);
    // A token in a query ends up in logs: it must be good for nothing else.
    nobody.get(&format!("/v1/stream?access_token={more}")).await.expect(403);
    for (path, refused) in [
        (format!("/v1/ws?access_token={more}"), 403),
        (format!("/v1/ws?access_token={watch}&after={id}"), 400),
        ("/v1/ws".to_owned(), 401),
    ] {
        assert_eq!(Ws::open(&app, &path, None).await.err(), Some(refused), "{refused}");
    }
    acme.get("/v1/ws").await.expect(400);
    let mut ws = Ws::open(&app, &format!("/v1/ws?access_token={watch}"), None).await.expect("socket");
    assert_eq!(ws.next().await.expect("greeting")["type"], "heartbeat");
    let mut sse = Sse::open(&nobody, &format!("/v1/stream?access_token={watch}"), None).await;
    assert_eq!(sse.next().await.expect("greeting")["type"], "heartbeat");
    drop((ws, sse, theirs));
    app.finish().await;
}

#[tokio::test]
async fn an_account_has_so_many_streams_and_gets_a_place_back() {
    let app = TestApp::start_with(Roles::API, |config| config.stream.streams_per_account = 2).await;
    let (acme, other) = (app.client("acme"), app.client("other"));
    let first = Sse::open(&acme, "/v1/stream", None).await;
    let second = Sse::open(&acme, "/v1/stream", None).await;
    let refused = acme.get("/v1/stream").await.expect(429);
    assert_eq!((&refused.body["code"], refused.header("retry-after").is_some()), (&json!("concurrent"), true));
    drop((Sse::open(&other, "/v1/stream", None).await, first));
    let third = eventually("a place to come back", || async {
        let answer = acme.request("GET", "/v1/stream").send().await.expect("answer");
        (answer.status() == 200).then_some(answer)
    })
    .await;
    drop((second, third));
    app.finish().await;
}

#[tokio::test]
async fn streams_end_with_their_token_their_time_and_the_service() {
    let mut app = TestApp::start_with(Roles::API, |config| config.stream.stream_seconds = 4).await;
    let short = app.client_with(Some(short_token("acme", "events:read", 2)));
    let (mut expiring, mut ageing) =
        (Sse::open(&short, "/v1/stream", None).await, Sse::open(&app.client("acme"), "/v1/stream", None).await);
    for (stream, reason) in [(&mut expiring, "token_expired"), (&mut ageing, "max_age")] {
        assert_eq!(stream.next_told().await.expect("end")["reason"], reason);
        assert_eq!(stream.next().await, None);
    }
    let mut sse = Sse::open(&app.client("acme"), "/v1/stream", None).await;
    let mut ws = Ws::open(&app, "/v1/ws", Some(&token("acme", "events:read"))).await.expect("socket");
    ws.next().await.expect("greeting");
    let (seen, told, ()) = tokio::join!(sse.next_told(), ws.next(), app.stop());
    assert_eq!(seen.expect("end")["reason"], "shutdown");
    assert_eq!(told.expect("end")["reason"], "shutdown");
    assert_eq!((sse.next().await, ws.next().await), (None, None));
    app.finish().await;
}

#[tokio::test]
async fn a_slow_reader_is_told_of_its_gap_and_can_fill_it() {
    const EVENTS: usize = 720;
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    let acme = app.client("acme");
    let mut slow = Sse::open(&acme, "/v1/stream", None).await;
    slow.next().await.expect("greeting");
    // More than the queue, and all buffers between the two, can hold.
    let metadata = json!({"filler": "x".repeat(30_000)});
    for first in (0..EVENTS).step_by(60) {
        let event =
            |n| json!({"event_name": "big", "user_id": "u", "event_id": format!("{n:05}"), "metadata": metadata});
        let events: Vec<_> = (first..first + 60).map(event).collect();
        acme.post("/v1/events/batch", &json!({"events": events})).await.expect(202);
    }
    let mut seen = Vec::new();
    let gap = loop {
        let frame = slow.next_told().await.expect("frame");
        if frame["type"] == "gap" {
            break frame;
        }
        seen.push(frame["event_id"].as_str().expect("id").to_owned());
    };
    drop(slow);
    let dropped = gap["dropped"].as_u64().expect("a number") as usize;
    assert!(dropped > 0 && seen.len() + dropped <= EVENTS, "{} seen, {dropped} dropped", seen.len());
    let mut filling = Sse::open(&acme, "/v1/stream", gap["after"].as_str()).await;
    seen.extend(filling.ids(dropped).await);
    let all: Vec<_> = (0..seen.len()).map(|n| format!("{n:05}")).collect();
    assert_eq!(seen, all);
    drop(filling);
    app.finish().await;
}
