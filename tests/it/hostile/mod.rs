//! Broken and hostile input: every row is sent over a raw socket to the app and has one exact answer. Invariant: the table in
//! `docs/bad-input.md` is printed from these very rows.

mod bodies;
mod codings;
mod crowd;
mod deadlines;
mod document;
mod events;
mod fuzz;
mod heads;
mod http2;
mod kit;
mod logs;
mod row;
mod tokens;

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout};
use weir::app::Roles;

use crate::harness::{TestApp, eventually};
use kit::Kit;
use row::{Row, Section};

/// The table, in the order of the document.
fn sections() -> Vec<Section> {
    vec![
        heads::section(),
        http2::section(),
        deadlines::section(),
        tokens::section(),
        bodies::section(),
        codings::section(),
        codings::forms(),
        events::section(),
        events::batches(),
    ]
}

/// Sends every row of a section, several at a time, and tells all that went wrong at once.
async fn hold(app: &TestApp, section: Section) {
    let kit = Kit::of(app);
    let failed: Vec<String> = stream::iter(section.rows)
        .map(|row| row.hold(&kit))
        .buffer_unordered(16)
        .filter_map(async |failed| failed)
        .collect()
        .await;
    assert!(failed.is_empty(), "{}:\n{}", section.title, failed.join("\n"));
}

#[tokio::test]
async fn heads_and_frames_are_answered_as_documented() {
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    hold(&app, heads::section()).await;
    hold(&app, http2::section()).await;
    app.finish().await;
}

#[tokio::test]
async fn tokens_are_answered_as_documented() {
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    hold(&app, tokens::section()).await;
    app.finish().await;
}

#[tokio::test]
async fn bodies_and_events_are_answered_as_documented() {
    let mut app = TestApp::start().await;
    for section in [bodies::section(), codings::section(), codings::forms(), events::section(), events::batches()] {
        hold(&app, section).await;
    }
    eventually("the odd names to be stored as they are", || async {
        let name = app.sql("select event_name from events where event_id = '%s:{*}?[a]'").await;
        (name == "'; drop table events; --%n").then_some(())
    })
    .await;
    app.stop().await;
    assert_eq!(app.sql("select count(*) from events where user_id <> 'fine'").await, "0", "a refused event was stored");
    app.finish().await;
}

#[tokio::test]
async fn deadlines_are_kept_as_documented() {
    let app = TestApp::start_with(Roles::API, |config| {
        config.http.http_header_seconds = 1;
        config.http.http_body_stall_seconds = 1;
        config.http.http_idle_seconds = 2;
        config.http.http_request_seconds = 3;
    })
    .await;
    hold(&app, deadlines::section()).await;
    app.finish().await;
}

/// The defaults are the contract; the rows above only shorten them.
#[tokio::test]
async fn without_configuration_the_deadlines_are_those_of_the_page() {
    // The tests' own wait for the log would leave less for the body.
    let app = TestApp::start_with(Roles::API, |config| config.kafka.kafka_ack_timeout_ms = 2_000).await;
    assert_eq!(app.config().http.http_idle_seconds, 60);
    let kit = Kit::of(&app);
    let head = timed(&kit, row::all("GET /health HTTP/1.1\r\nhost: a\r\n"), 5);
    let stalled = timed(&kit, row::all(format!("{}content-length: 100\r\n\r\n{{", kit.begun())), 10);
    let dripped = format!("{}content-length: 1000\r\nconnection: close\r\n\r\n", kit.begun());
    let dripped = timed(&kit, deadlines::drip(dripped, b' ', 200), 12);
    assert_eq!(futures_util::join!(head, stalled, dripped), (None, None, None));
    app.finish().await;
}

/// What was wrong with a 408 that was due after so many seconds.
async fn timed(kit: &Kit, steps: Vec<row::Step>, seconds: u64) -> Option<String> {
    let begun = Instant::now();
    let answer = timeout(Duration::from_secs(25), row::exchange(kit, steps)).await.unwrap_or_default();
    let (took, answer) = (begun.elapsed().as_secs(), String::from_utf8_lossy(&answer).into_owned());
    let right = (seconds..seconds + 3).contains(&took) && answer.starts_with("HTTP/1.1 408 ");
    (!right).then(|| format!("after {took} s instead of {seconds}: {answer}"))
}

/// How many rows there are; a section that loses its rows should be noticed.
#[test]
fn the_table_has_its_rows() {
    let rows: Vec<Row> = sections().into_iter().flat_map(|section| section.rows).collect();
    let names: std::collections::HashSet<_> = rows.iter().map(|row| row.sent).collect();
    assert!(rows.len() > 100 && names.len() == rows.len(), "{} rows, {} names", rows.len(), names.len());
}
