//! The door over raw sockets, with routes of its own behind it: what a client library would hide.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};
use poem::endpoint::{make, make_sync};
use poem::http::StatusCode;
use poem::{Endpoint, IntoResponse, Request, Response, Route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::{Bounds, Inflow};
use super::context::RequestContext;
use super::media::Media;
use super::problem::{Code, Problem};
use super::routes::Methods;
use super::serve::{Side, serve};
use crate::config::HttpConfig;

struct Rig {
    address: SocketAddr,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

fn config() -> HttpConfig {
    let matches = HttpConfig::augment_args(Command::new("test")).get_matches_from(["test"]);
    let mut config = HttpConfig::from_arg_matches(&matches).expect("defaults");
    config.http_header_seconds = 1;
    config.http_body_stall_seconds = 1;
    config.http_request_seconds = 2;
    config.drain_seconds = 1;
    config
}

async fn read(request: Request) -> poem::Result<Response> {
    let (request, mut body) = request.split();
    let deadline = RequestContext::of(&request)?.deadline;
    let stall = Duration::from_secs(1);
    let bounds = Bounds { max_bytes: 1_000, max_inflated: 1_000, max_ratio: 100, stall, deadline };
    if Media::of(request.headers(), &[Media::Json]).is_none() {
        return Err(Problem::new(Code::UnsupportedMediaType, "").into());
    }
    let bytes = Inflow::open(&request, &mut body, bounds)?.whole(|_| Ok(())).await?;
    Ok(bytes.len().to_string().into_response())
}

fn routes() -> Route {
    let post = |endpoint| Methods::post_for_test("read", endpoint);
    let hang = make(|_| async {
        sleep(Duration::from_secs(60)).await;
        StatusCode::OK.into_response()
    });
    let panic = make_sync(|request: Request| -> Response { panic!("at {}", request.uri()) });
    let fine = make_sync(|_| "fine".into_response());
    Route::new()
        .at("/read", post(make(read)))
        .at("/hang", Methods::get("hang", hang))
        .at("/panic", Methods::get("panic", panic))
        .at("/fine", Methods::get("fine", fine))
}

async fn rig_of<E: Endpoint<Output = Response> + 'static>(config: HttpConfig, routes: E) -> Rig {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let server = TaskTracker::new().spawn(async move {
        serve(listener, Side { name: "test", after_body: Duration::ZERO }, routes, &config, stop).await
    });
    Rig { address, shutdown, server }
}

async fn rig() -> Rig {
    rig_of(config(), routes()).await
}

impl Rig {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connect")
    }

    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, bytes: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.expect("send");
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("closed in time").expect("read");
    String::from_utf8(answer).expect("text")
}

fn problem(answer: &str) -> serde_json::Value {
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    assert!(head.contains("content-type: application/problem+json"), "{answer}");
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test]
async fn unknown_paths_wrong_methods_and_panics_are_problems() {
    let rig = rig().await;
    let close = "host: x\r\nconnection: close\r\nx-request-id: mine\r\n\r\n";
    let missing = rig.exchange(&format!("GET /nowhere HTTP/1.1\r\n{close}")).await;
    assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
    assert!(missing.contains("x-request-id: mine"), "{missing}");
    assert_eq!(problem(&missing)["code"], "not_found");

    for method in ["DELETE", "BREW"] {
        let wrong = rig.exchange(&format!("{method} /fine HTTP/1.1\r\n{close}")).await;
        assert!(wrong.starts_with("HTTP/1.1 405 ") && wrong.contains("allow: GET, HEAD"), "{wrong}");
        assert_eq!(problem(&wrong)["code"], "method_not_allowed");
    }
    let head = rig.exchange(&format!("HEAD /fine HTTP/1.1\r\n{close}")).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");

    let panicked = rig.exchange(&format!("GET /panic?secret=1 HTTP/1.1\r\n{close}")).await;
    assert!(panicked.starts_with("HTTP/1.1 500 ") && !panicked.contains("secret"), "{panicked}");
    assert_eq!(problem(&panicked)["request_id"], "mine");
}

#[tokio::test]
async fn a_connection_survives_a_panic() {
    let rig = rig().await;
    let answers = rig
        .exchange("GET /panic HTTP/1.1\r\nhost: x\r\n\r\nGET /fine HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answers.contains("HTTP/1.1 500 ") && answers.ends_with("fine"), "{answers}");
}

#[tokio::test]
async fn our_deadline_is_a_504() {
    let answer = rig().await.exchange("GET /hang HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert_eq!(problem(&answer)["code"], "timeout");
}

#[tokio::test]
async fn a_slow_head_gets_408_and_the_connection_is_closed() {
    let rig = rig().await;
    let started = Instant::now();
    let answer = rig.exchange("GET /fine HTTP/1.1\r\nhost: x\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(problem(&answer)["code"], "head_timeout");
    assert!((1..3).contains(&started.elapsed().as_secs()));
}

#[tokio::test]
async fn a_second_slow_head_on_one_connection_is_cut_too() {
    let rig = rig().await;
    let mut stream = rig.connect().await;
    stream.write_all(b"GET /fine HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("send");
    let mut first = [0; 512];
    assert!(stream.read(&mut first).await.expect("answer") > 0);
    stream.write_all(b"GET /fi").await.expect("send");
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_refused_head_waits_for_the_answer_before_it_and_ends_the_connection() {
    let rig = rig().await;
    let fine = "GET /fine HTTP/1.1\r\nhost: x\r\n\r\n";
    let answers = rig.exchange(&format!("{fine}GET /fine HTTP/1.1\r\n\r\n{fine}")).await;
    let (first, second) = answers.split_once("fine").expect("the sound request is served");
    assert!(first.starts_with("HTTP/1.1 200 "), "{answers}");
    assert!(second.starts_with("HTTP/1.1 400 ") && second.contains("connection: close"), "{answers}");
    assert_eq!(problem(second)["code"], "malformed_head");

    let mut split = rig.connect().await;
    for piece in ["POST /read HTTP/1.1\r\nhost: x\r\ncontent-", "length: 1\r\ntransfer-encoding: ", "chunked\r\n\r\n"] {
        split.write_all(piece.as_bytes()).await.expect("send");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(problem(&rest(&mut split).await)["code"], "malformed_head");
}

#[tokio::test]
async fn malformed_chunks_break_the_body_off() {
    let head = "POST /read HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = rig().await.exchange(&format!("{head}5\nhello\r\n0\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(problem(&answer)["code"], "invalid_request");
}

#[tokio::test]
async fn a_declared_length_over_the_cap_is_refused_at_once() {
    let rig = rig().await;
    let head =
        "POST /read HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000000000\r\n\r\n";
    let answer = rig.exchange(head).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn the_answer_to_a_body_too_large_arrives_although_the_body_goes_on() {
    let rig = rig().await;
    let mut stream = rig.connect().await;
    let head = "POST /read HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("head");
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
    for _ in 0..200 {
        stream.write_all(chunk.as_bytes()).await.expect("the server swallows what it does not want");
    }
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_stalled_body_is_a_408() {
    let head = "POST /read HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let answer = rig().await.exchange(head).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(problem(&answer)["code"], "body_timeout");
}

#[tokio::test]
async fn other_types_and_encodings_are_415() {
    let rig = rig().await;
    let head = "POST /read HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n";
    let answer = rig.exchange(&format!("{head}content-type: text/plain\r\n\r\n{{}}")).await;
    assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    let twice = format!("{head}content-type: application/json\r\ncontent-encoding: gzip, br\r\n\r\n{{}}");
    let answer = rig.exchange(&twice).await;
    assert!(
        answer.starts_with("HTTP/1.1 415 ") && answer.contains("accept-encoding: gzip, deflate, br, zstd"),
        "{answer}"
    );
}

#[tokio::test]
async fn stopping_closes_idle_connections_at_once_and_hanging_ones_at_the_deadline() {
    let rig = rig().await;
    let mut idle = rig.connect().await;
    idle.write_all(b"GET /fine HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("send");
    let mut some = [0; 512];
    assert!(idle.read(&mut some).await.expect("answer") > 0);
    let mut fresh = rig.connect().await;
    let mut busy = rig.connect().await;
    busy.write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("send");
    sleep(Duration::from_millis(50)).await;

    let started = Instant::now();
    rig.shutdown.cancel();
    rest(&mut idle).await;
    rest(&mut fresh).await;
    assert!(!rig.server.is_finished(), "closed by the deadline only");
    timeout(Duration::from_secs(20), rig.server).await.expect("ends").expect("joins").expect("serves");
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(TcpStream::connect(rig.address).await.is_err());
}
