//! How a change reaches every instance: by a word, without the word, and not at all while Postgres is away.

use std::time::Instant;

use serde_json::json;
use weir::app::{App, Roles};
use weir::config::{Config, Secret};

use super::{held_to, operator, policy, set};
use crate::harness::{Client, TestApp, eventually, token};

async fn second(app: &TestApp, adjust: impl FnOnce(&mut Config)) -> (App, Client) {
    let mut config = app.config().clone();
    adjust(&mut config);
    let other = App::start(config, Roles::API).await.expect("a second instance");
    let address = other.public_address().expect("a listener");
    (other, Client::new(format!("http://{address}"), Some(token("acme", "events:write"))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_is_enough() {
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    // It looks by itself only once an hour.
    let (other, there) = second(&app, |config| config.operators.operator_poll_ms = 3_600_000).await;
    let ops = operator(&app);
    set(&ops, "acme", json!({"sustained": {"limit": 11}})).await;
    held_to(&there, "sustained", 11).await;
    let changed = Instant::now();
    set(&ops, "acme", json!({"sustained": {"limit": 12}})).await;
    held_to(&there, "sustained", 12).await;
    println!("by a word: {:?}", changed.elapsed());
    other.stop().await.expect("stops");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_word_is_made_up_for_by_looking() {
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    // Nobody listens there: neither word nor shared window reaches it.
    let (other, there) =
        second(&app, |config| config.redis.redis_url = Some(Secret::new("redis://127.0.0.1:1/"))).await;
    let ops = operator(&app);
    for limit in [11, 0, 13] {
        let changed = Instant::now();
        set(&ops, "acme", json!({"sustained": {"limit": limit}})).await;
        held_to(&there, "sustained", limit).await;
        println!("without a word: {:?}", changed.elapsed());
    }
    other.stop().await.expect("stops");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_the_last_known_quotas_hold_and_it_is_said() {
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    let acme = app.client("acme");
    set(&operator(&app), "acme", json!({"sustained": {"limit": 11}})).await;
    held_to(&acme, "sustained", 11).await;
    let name = app.sql("select current_database()").await;
    app.sql_elsewhere(&format!("alter database {name} allow_connections false")).await;
    app.sql_elsewhere(&format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"))
        .await;
    // The gauge is the process's, and other tests' instances set it too.
    let behind = || async {
        let metrics = acme.get_at(&app.management_url(), "/metrics").await;
        metrics.text.contains("weir_quotas_behind 1").then_some(())
    };
    eventually("it is said", behind).await;
    assert_eq!(policy(&acme, "sustained").await["limit"], 11);

    let (late, there) = second(&app, |_| {}).await;
    assert_eq!(
        policy(&there, "sustained").await["limit"],
        60_000,
        "the defaults hold until Postgres has answered once"
    );
    app.sql_elsewhere(&format!("alter database {name} allow_connections true")).await;
    held_to(&there, "sustained", 11).await;
    late.stop().await.expect("stops");
    app.finish().await;
}
