//! Room for bodies: who finds none waits his turn and is then told to come again, and a small account finds some beside a large one.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};
use weir::app::Roles;

use crate::harness::{Answer, TestApp, eventually, token};

/// What all bodies may take at a time: one account nine tenths of it.
const ROOM_KIB: i64 = 1_000;

/// Length of a large body: it becomes 400 KiB, so two of them leave room for none of the same account.
const LARGE: usize = 100 << 10;

async fn narrow() -> TestApp {
    TestApp::start_with(Roles::API, |config| {
        config.limit.limit_global_body_kib = ROOM_KIB;
        config.limit.limit_body_kib = 10 * ROOM_KIB;
        // What crawls is to stay until the test lets go of it.
        config.http.http_body_stall_seconds = 300;
        config.http.http_request_seconds = 300;
    })
    .await
}

fn event(bytes: usize) -> Value {
    json!({"event_name": "n", "user_id": "u", "tags": ["x"], "metadata": {"text": "x".repeat(bytes)}})
}

/// About `LARGE` bytes.
fn large() -> Value {
    json!({"events": vec![event(LARGE / 8 - 80); 8]})
}

fn head(account: &str, length: usize) -> String {
    format!(
        "POST /v1/events/batch HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n",
        token(account, "events:write")
    )
}

async fn dial(app: &TestApp) -> TcpStream {
    TcpStream::connect(app.url().strip_prefix("http://").expect("an address")).await.expect("connected")
}

/// A large body of the account that never comes, although there is room for it.
async fn crawl(app: &TestApp, account: &str) -> TcpStream {
    let mut socket = dial(app).await;
    socket.write_all(format!("{}{{", head(account, LARGE)).as_bytes()).await.expect("sent");
    socket
}

/// Lets the whale take its nine tenths by bodies that never come: one more, until the next body is told to come again. One that comes
/// while the one before it is still being answered is refused itself.
async fn fill(app: &TestApp) -> Vec<TcpStream> {
    let (whale, body, mut crawling) = (app.client("whale"), large(), Vec::new());
    // Fewer bodies than the whale may send in a minute.
    for _ in 0..400 {
        crawling.push(crawl(app, "whale").await);
        let answer = whale.post("/v1/events/batch", &body).await;
        if answer.status != 202 {
            come_again(&answer);
            return crawling;
        }
    }
    panic!("there was always room");
}

/// Sends the bytes and reads until the service closes the connection.
async fn exchange(app: &TestApp, bytes: &[u8]) -> String {
    let mut socket = dial(app).await;
    socket.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(60), socket.read_to_end(&mut answer)).await;
    read.expect("closed in time").expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

fn come_again(answer: &Answer) {
    assert_eq!((answer.status, &answer.body["code"]), (503, &json!("unavailable")), "{}", answer.text);
    let seconds: u64 = answer.header("retry-after").expect("told").parse().expect("whole seconds");
    assert!((1..=5).contains(&seconds));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_without_room_are_told_to_come_again_while_a_small_account_is_served() {
    let app = narrow().await;
    let (whale, small) = (app.client("whale"), app.client("small"));
    let crawling = fill(&app).await;
    let body = large();
    let many = join_all((0..8).map(|_| whale.post("/v1/events/batch", &body)));
    let few = async {
        for _ in 0..4 {
            small.post("/v1/events", &event(10_000)).await.expect(202);
        }
    };
    let (many, ()) = tokio::join!(many, few);
    many.iter().for_each(come_again);
    drop(crawling);
    eventually("the room to come back", || async {
        (whale.post("/v1/events/batch", &large()).await.status == 202).then_some(())
    })
    .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_refused_unread_ends_the_connection_and_the_answer_says_so() {
    let app = narrow().await;
    let crawling = fill(&app).await;
    let body = large().to_string();
    let whole = format!("{}{body}", head("whale", body.len()));
    // The service ends it, so all of the answer is there.
    for request in [whole, head("whale", 1 << 20)] {
        let answer = exchange(&app, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("connection: close"), "{answer}");
    }
    drop(crawling);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_sends_more_bodies_at_a_time_than_it_may_hold_has_them_taken_in_turn() {
    let app = TestApp::start_with(Roles::API, |config| {
        // Room for one such body.
        config.limit.limit_body_kib = 450;
    })
    .await;
    let (whale, body) = (app.client("whale"), large());
    for answer in join_all((0..10).map(|_| whale.post("/v1/events/batch", &body))).await {
        answer.expect(202);
    }
    app.finish().await;
}
