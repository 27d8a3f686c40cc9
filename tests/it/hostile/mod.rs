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

use futures_util::{StreamExt, stream};
use weir::app::Roles;

use crate::harness::TestApp;
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

/// How many rows there are; a section that loses its rows should be noticed.
#[test]
fn the_table_has_its_rows() {
    let rows: Vec<Row> = sections().into_iter().flat_map(|section| section.rows).collect();
    let names: std::collections::HashSet<_> = rows.iter().map(|row| row.sent).collect();
    assert!(rows.len() > 100 && names.len() == rows.len(), "{} rows, {} names", rows.len(), names.len());
}
