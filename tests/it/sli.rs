//! Levels of service on their way to Postgres: what was answered is there once, whatever happened on the way.

use serde_json::json;
use weir::app::Roles;
use weir::config::SloConfig;
use weir::domain::id::AccountId;
use weir::domain::sli::Verdict;
use weir::domain::time::Timestamp;
use weir::slo::flush::Flusher;
use weir::store::{Flush, SliStore};
use weir::telemetry::sli::Recorder;

use crate::harness::{TestApp, eventually, token};

const HOURS: &str = "select string_agg(account_id || ' ' || operation || ' ' || good || ' ' || bad || ' ' || client, ', ' \
                     order by account_id, operation) from sli_hours where operation <> 'visibility'";

#[tokio::test]
async fn answers_are_summed_up_by_operation_and_by_account() {
    let mut app = TestApp::start_with(Roles::ALL, |config| config.slo.slo_flush_seconds = 600).await;
    let (acme, other) = (app.client("acme"), app.client("other"));
    for _ in 0..3 {
        acme.post("/v1/events", &json!({"event_name": "view", "user_id": "u"})).await.expect(202);
    }
    acme.post("/v1/events", &json!({"event_name": "view"})).await.expect(400);
    other.get("/v1/accounts/other/summary").await.expect(200);
    other.get("/v1/nothing/here").await.expect(404);
    app.client_with(None).get("/v1/events").await.expect(401);
    app.client_with(Some(token("acme", "slo:read"))).get("/v1/events").await.expect(403);
    app.client_with(None).get("/health").await.expect(200);
    eventually("three rows", || async { (app.sql("select count(*) from events").await == "3").then_some(()) }).await;
    // The last flush is part of stopping.
    app.stop().await;
    assert_eq!(
        app.sql(HOURS).await,
        "acme listEvents 0 0 1, acme postEvent 3 0 1, other getSummary 1 0 0",
        "a caller without a token has no account"
    );
    let minutes = "select string_agg(line, ', ' order by line) from (select operation || ' ' || sum(good) || ' ' || sum(client) \
                   as line from sli_minutes group by operation) as lines";
    assert_eq!(app.sql(minutes).await, "getSummary 1 0, listEvents 0 2, postEvent 3 1, visibility 3 0");
    assert_ne!(app.sql("select count(*) from sli_heartbeats").await, "0");
    app.restart(Roles::ALL).await;
    app.finish().await;
}

#[tokio::test]
async fn a_flush_is_added_once_and_survives_an_absence_of_postgres() {
    let mut app = TestApp::start_with(Roles::API, |config| config.slo.slo_record = false).await;
    let config = app.config().clone();
    let url = config.database.database_url.clone().expect("url");
    let store = SliStore::open(&url, &config.database).expect("store");
    let recorder = Recorder::default();
    let account = AccountId::new("acme").expect("account");
    let at = |second| Timestamp::from_unix_seconds(second).expect("time");
    let record = |second, verdict| {
        recorder.record(at(second), "postEvent", Some(&account), (verdict, std::time::Duration::from_millis(30)));
    };
    record(7_200, Verdict::Good);
    let flush = |seq| Flush {
        instance: "one".into(),
        seq,
        sums: recorder.take(),
        alive: vec![7_200, 7_260, 7_380],
        keep_from: None,
    };
    let first = flush(1);
    assert!(store.flush(&first).await.expect("added"));
    assert!(!store.flush(&first).await.expect("known"), "the answer was lost and the same is sent again");
    record(7_201, Verdict::Bad);
    assert!(store.flush(&flush(2)).await.expect("added"));
    assert_eq!(app.sql(HOURS).await, "acme postEvent 1 1 0");
    assert_eq!(app.sql("select le_50 from sli_minutes").await, "1");
    assert_eq!(store.silent_minutes(0, 100_000).await.expect("minutes"), [7_320]);

    // Postgres refuses connections: what happens meanwhile is kept, and added once it is back.
    let database = app.sql("select current_database()").await;
    app.sql_elsewhere(&format!("alter database {database} allow_connections false")).await;
    store.close().await;
    let store = SliStore::open(&url, &config.database).expect("store");
    let slo = SloConfig { slo_flush_seconds: 1, ..config.slo.clone() };
    let mut flusher = Flusher::new(recorder.clone(), store.clone(), &slo, true, at(7_200));
    record(7_202, Verdict::Client);
    flusher.flush(at(7_210)).await;
    record(7_203, Verdict::Good);
    flusher.flush(at(7_220)).await;
    app.stop().await;
    app.sql_elsewhere(&format!("alter database {database} allow_connections true")).await;
    flusher.flush(at(7_230)).await;
    assert_eq!(app.sql(HOURS).await, "acme postEvent 2 1 1");
    store.close().await;
    app.restart(Roles::API).await;
    app.finish().await;
}
