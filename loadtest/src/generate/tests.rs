//! The generator against a tiny server.

use std::sync::Arc;
use std::time::Instant;

use super::fixture::{Reply, TinyServer};
use super::*;
use crate::journal::{Item, Line, Reader};

fn plan(peer: SocketAddr, rate: f64, journal: Option<PathBuf>) -> Plan {
    Plan {
        peer,
        pace: Pace::Open(Schedule::new(Profile::Steady, rate, 1, u64::MAX)),
        mix: Mix::Uniform,
        accounts: 3,
        batch: None,
        connections: 4,
        retries: 3,
        timeout: Duration::from_secs(16),
        journal,
    }
}

fn signer() -> Signer {
    Signer::new(&Key::Secret("0123456789abcdef0123456789abcdef".into()), "weir-local", "weir").expect("signer")
}

async fn join(running: Running) -> Report {
    tokio::task::spawn_blocking(|| running.join()).await.expect("no panic").expect("a report")
}

fn accepted() -> Reply {
    Reply::json(202, r#"{"status":"accepted","receipt":"weir.events/0/7"}"#)
}

#[tokio::test]
async fn a_run_is_open_bounded_and_written_down() {
    let dir = crate::scratch::Dir::new("generate").expect("dir");
    let path = dir.path().join("journal");
    let mut server = TinyServer::start(|_, _| accepted()).await;
    let report = join(start(plan(server.address(), 200.0, Some(path.clone())), &signer()).expect("start")).await;
    assert_eq!(report.outcomes.accepted, 200);
    let mut reader = Reader::open(&path).expect("open");
    let (mut attempts, mut answers) = (0, 0);
    while let Some(line) = reader.next_line().expect("read") {
        match line {
            Line::Attempt(_) => attempts += 1,
            Line::Answer { items, .. } => answers += usize::from(matches!(items[..], [Item::Accepted(Some(_))])),
            _ => {}
        }
    }
    assert_eq!((attempts, answers), (200, 200));
    server.stop().await;
}

#[tokio::test]
async fn what_failed_is_sent_again_with_the_same_id() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = seen.clone();
    let mut server = TinyServer::start(move |number, body| {
        let event: serde_json::Value = serde_json::from_str(body).expect("JSON");
        log.lock().expect("lock").push(event["event_id"].to_string());
        match number {
            0 => Reply::json(503, "{}"),
            1 => Reply::Hangup,
            _ => accepted(),
        }
    })
    .await;
    let report = join(start(plan(server.address(), 1.0, None), &signer()).expect("start")).await;
    assert_eq!((report.outcomes.accepted, report.outcomes.failed, report.retries), (1, 0, 2));
    let ids = seen.lock().expect("lock").clone();
    assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_stalling_service_shows_in_the_latency_of_what_waited_behind() {
    let start_of_test = Instant::now();
    let mut server = TinyServer::start(move |number, _| {
        // The one stall blocks the server's thread, so everything due in those 300 ms waits.
        if number == 10 {
            std::thread::sleep(Duration::from_millis(300));
        }
        accepted()
    })
    .await;
    let report = join(start(plan(server.address(), 100.0, None), &signer()).expect("start")).await;
    assert_eq!(report.outcomes.accepted, 100);
    // A closed loop would see four slow answers in a hundred; about thirty requests were due during the stall.
    assert!(report.latency.p95_ms > 200.0, "{:?} after {:?}", report.latency, start_of_test.elapsed());
    server.stop().await;
}
