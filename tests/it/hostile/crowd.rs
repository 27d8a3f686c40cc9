//! Many at once: sockets that never finish a request, and names that never repeat.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use weir::app::Roles;

use super::kit::Kit;
use crate::harness::TestApp;

const WANTED: usize = 5_000;

/// Fewer than a listener takes from one address, so that this cap is not what saves us.
const PER_ADDRESS: usize = 500;

/// Files the rest of the tests may have open meanwhile.
const SPARE: usize = 2_000;

/// How many sockets the limit of open files allows; both ends are in this process.
fn affordable() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("the limit of open files");
    let soft: usize = files.split_whitespace().nth(3).and_then(|word| word.parse().ok()).unwrap_or(usize::MAX);
    WANTED.min(soft.saturating_sub(SPARE) / 2)
}

async fn connect(server: SocketAddr, number: usize) -> TcpStream {
    let host = u8::try_from(2 + number / PER_ADDRESS).expect("few addresses");
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into()).expect("source address");
    socket.connect(server).await.expect("connect")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_sockets_leave_normal_traffic_alone() {
    // Longer than the test takes: the sockets are to stay, not to be cut.
    let app = TestApp::start_with(Roles::API, |config| {
        config.http.http_header_seconds = 120;
        config.http.http_body_stall_seconds = 120;
        config.http.http_idle_seconds = 120;
        config.http.http_request_seconds = 120;
        config.http.drain_seconds = 1;
        // A quarter of the sockets are requests of one account.
        config.limit.limit_concurrent = 8_192;
        config.limit.limit_global_concurrent = 16_384;
    })
    .await;
    let (kit, count) = (Kit::of(&app), affordable());
    if count < WANTED {
        println!("{count} sockets instead of {WANTED}: the limit of open files allows no more");
    }
    let mut sockets = Vec::with_capacity(count);
    for number in 0..count {
        let mut socket = connect(kit.address, number).await;
        let begun = match number % 4 {
            0 => String::new(),
            1 => "POST /v1/events HTTP/1.1\r\nhost: weir\r\nx: ".to_owned(),
            2 => format!("{}content-length: 1000\r\n\r\n{{", kit.begun()),
            _ => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        };
        socket.write_all(begun.as_bytes()).await.expect("send");
        sockets.push(socket);
    }
    let acme = app.client("acme");
    for number in 0..200 {
        let event = serde_json::json!({"event_name": "view", "user_id": format!("u{number}")});
        acme.post("/v1/events", &event).await.expect(202);
    }
    // The listener takes connections in order, so by now it holds all of ours.
    assert_eq!(sockets.iter().filter(|socket| is_open(socket)).count(), count, "the sockets are still there");
    drop(sockets);
    app.finish().await;
}

fn is_open(socket: &TcpStream) -> bool {
    match socket.try_read(&mut [0; 64]) {
        // What HTTP/2 says first.
        Ok(length) => length > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

#[tokio::test]
async fn names_that_never_repeat_make_no_new_series() {
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    let kit = Kit::of(&app);
    let mut paths = String::new();
    for number in 0..10_000 {
        let path = match number % 3 {
            0 => format!("/cardinality-{number}"),
            1 => format!("/v1/events/cardinality-{number}/x"),
            _ => format!("/v1/accounts/cardinality-{number}/nothing"),
        };
        paths.push_str(&format!("CARDINALITY{number} {path}?cardinality={number} HTTP/1.1\r\nhost: a\r\n\r\n"));
    }
    paths.push_str("GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let answers = super::row::exchange(&kit, super::row::all(paths)).await;
    let answers = String::from_utf8_lossy(&answers);
    assert_eq!(answers.matches("HTTP/1.1 404 ").count() + answers.matches("HTTP/1.1 405 ").count(), 10_000);

    for account in 0..40 {
        let events: Vec<_> = (0..25)
            .map(|number| serde_json::json!({"event_name": format!("cardinality-{account}-{number}"), "user_id": "fine"}))
            .collect();
        let client = app.client(&format!("cardinality-{account}"));
        client.post("/v1/events/batch", &serde_json::json!({ "events": events })).await.expect(202);
    }
    let metrics = app.client_with(None).get_at(&app.management_url(), "/metrics").await.text;
    let metrics = metrics.to_lowercase();
    // The busiest accounts have series of their own, and no more than those.
    let (named, accounts): (Vec<&str>, Vec<&str>) = metrics
        .lines()
        .filter(|line| line.contains("cardinality-"))
        .partition(|line| !line.starts_with("weir_account_events_total{"));
    assert!(named.is_empty(), "a name of a client is a label: {named:?}");
    let accounts: std::collections::HashSet<_> = accounts.iter().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(accounts.len() <= 20, "{accounts:?}");
    let series = metrics.lines().filter(|line| line.starts_with("http_request_duration_seconds_count{")).count();
    assert!((1..300).contains(&series), "{series} series of requests");
    app.finish().await;
}
