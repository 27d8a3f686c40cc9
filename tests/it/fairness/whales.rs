//! One large account in every manner, beside small ones. Each scene closes by comparing what all were told with what is stored.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir::domain::time::Timestamp;

use super::scene::{DOORS, Scene};
use crate::harness::{short_token, token};

/// What the large one may send in a minute.
const LIMIT: i64 = 400;

fn batch(events: usize, text: usize) -> Value {
    let metadata = json!({"text": "x".repeat(text)});
    json!({"events": vec![json!({"event_name": "flood", "user_id": "u", "metadata": metadata}); events]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whale() {
    let scene = Scene::open(&[]).await;
    scene.set_quota("whale", "sustained", LIMIT).await;
    scene
        .play(4, async |one, turn| {
            let answer = scene.client(one + turn, "whale").post("/v1/events/batch", &batch(50, 10)).await;
            scene.file(answer);
        })
        .await;
    scene.close(Some(400)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_whales() {
    let scene = Scene::open(&[]).await;
    for whale in 0..4 {
        scene.set_quota(&format!("whale-{whale}"), "sustained", 100).await;
    }
    scene
        .play(8, async |one, turn| {
            let client = scene.client(turn, &format!("whale-{}", one % 4));
            scene.file(client.post("/v1/events/batch", &batch(20, 10)).await);
        })
        .await;
    scene.close(Some(4 * 100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whale_with_many_tokens_is_one_account() {
    let scene = Scene::open(&[]).await;
    scene.set_quota("whale", "sustained", LIMIT).await;
    let tokens: Vec<String> = (0..12).map(|one| short_token("whale", "events:write", 500 + one)).collect();
    scene
        .play(6, async |one, turn| {
            let client = scene.client_with(one, tokens[(one + turn) % tokens.len()].clone());
            scene.file(client.post("/v1/events/batch", &batch(50, 10)).await);
        })
        .await;
    scene.close(Some(400)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whale_of_huge_batches() {
    const BATCH: usize = 1_000;
    // Room for all of the bodies in flight: this scene is about bytes a minute.
    let room = ("WEIR_LIMIT_BODY_KIB", "65536");
    let scene = Scene::open(&[room, ("WEIR_LIMIT_GLOBAL_BODY_KIB", "131072")]).await;
    // Quota for two of the bodies.
    let body = batch(BATCH, 1_000);
    let bytes = body.to_string().len();
    scene.set_quota("whale", "bytes", i64::try_from(2 * bytes).expect("a number")).await;
    scene
        .play(4, async |one, turn| {
            let answer = scene.file(scene.client(one + turn, "whale").post("/v1/events/batch", &body).await);
            if answer.status == 429 {
                assert_eq!(answer.body["violated-policies"], json!(["bytes"]), "{}", answer.text);
            }
        })
        .await;
    scene.close(Some(2 * BATCH)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whale_of_tiny_events() {
    let scene = Scene::open(&[]).await;
    scene.set_quota("whale", "sustained", 60).await;
    scene
        .play(9, async |one, turn| {
            let tiny = json!({"event_name": "e", "user_id": "u"});
            scene.file(scene.client(one + turn, "whale").post("/v1/events", &tiny).await);
        })
        .await;
    scene.close(Some(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_0() {
    let scene = Scene::open(&[]).await;
    scene.set_quota("whale", "sustained", 0).await;
    scene
        .play(6, async |one, turn| {
            let answer = scene.client(one + turn, "whale").post("/v1/events/batch", &batch(20, 10)).await;
            assert_eq!(scene.file(answer).status, 429);
        })
        .await;
    scene.close(Some(0)).await;
}

/// Opens a request whose body comes a byte at a time and never ends; its status, when the service has had enough.
async fn crawl(door: String, token: String) -> (u16, TcpStream) {
    let address = door.strip_prefix("http://").expect("an address").to_owned();
    let mut socket = TcpStream::connect(&address).await.expect("connected");
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: 30000\r\n\r\n{{"
    );
    socket.write_all(head.as_bytes()).await.expect("sent");
    let mut status = [0; 12];
    socket.read_exact(&mut status).await.expect("an answer");
    let status = std::str::from_utf8(&status[9..]).ok().and_then(|text| text.parse().ok());
    (status.expect("a status"), socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whale_of_slow_bodies() {
    const OPEN: usize = 24;
    // All that a process takes at a time would be gone if one account could hold it.
    let scene = Scene::open(&[("WEIR_LIMIT_GLOBAL_CONCURRENT", "20"), ("WEIR_HTTP_BODY_STALL_SECONDS", "60")]).await;
    scene.set_quota("whale", "concurrent", 8).await;
    let token = token("whale", "events:write");
    let mut crawling: FuturesUnordered<_> =
        (0..DOORS * OPEN).map(|one| crawl(scene.door(one), token.clone())).collect();
    // Eight of each instance are let in and wait for their bodies; the others are told at once.
    let mut told = Vec::new();
    for _ in 0..DOORS * (OPEN - 8) {
        let (status, socket) = crawling.next().await.expect("more");
        assert_eq!(status, 429);
        scene.refused();
        told.push(socket);
    }
    assert_eq!(crawling.len(), DOORS * 8);
    scene.play(0, async |_, _| {}).await;
    drop(crawling);
    scene.close(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whale_of_reads() {
    let scene = Scene::open(&[("WEIR_READS_PER_ACCOUNT", "1")]).await;
    scene.expect_refusals();
    let written = scene.client(0, "whale").post("/v1/events/batch", &batch(200, 10)).await;
    scene.file(written);
    let now = Timestamp::now().unix_seconds();
    scene
        // Twice as many at a time as may wait at an instance, one running.
        .play(2 * DOORS * 10, async |one, turn| {
            // Each asks for a range of its own, so that no cache answers.
            let from = now - 86_400 - one as i64 * 10_000 - turn as i64;
            let path = format!("/v1/accounts/whale/summary?from={from}&to={}", now + 3_600);
            scene.file(scene.client(one + turn, "whale").get(&path).await);
        })
        .await;
    scene.close(None).await;
}
