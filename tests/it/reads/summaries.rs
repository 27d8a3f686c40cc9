//! Summaries under a crowd, near their end, and without Postgres.

use std::sync::Arc;

use futures_util::future::join_all;
use weir::config::Secret;
use weir::domain::window::Window;
use weir::query::{Database, QueryError};

use crate::stores::{Stores, account, at, engines, event, eventually};

const NOW: i64 = crate::stores::BASE;

fn window() -> Window {
    Window::new(at(NOW - 85_500), at(NOW + 899), 86_400).expect("window")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_misses_of_one_key_are_one_query() {
    let stores = Stores::new().await;
    stores.write(&[event("acme", "e")]).await;
    // A session tells its statistics when it ends at the latest.
    stores.worker.close().await;
    let gone =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'weir-worker'";
    eventually("the writer's statistics", || async { (stores.number(gone).await == 0).then_some(()) }).await;
    let queries = Arc::new(stores.queries());
    // The connection of the API is open before the statistics are read.
    stores.api.probe().await.expect("store");
    let scans = "SELECT COALESCE(sum(seq_scan + COALESCE(idx_scan, 0)), 0)::bigint
                   FROM pg_stat_user_tables WHERE relname ~ '^events_'";
    let owner = account("acme");
    let before = stores.number(scans).await;
    // Of another key, by one reader: what one query costs.
    queries.summary(&owner, (window(), 9), Database::Usual, at(NOW)).await.expect("summary");
    let alone = eventually("the statistics of one query", || async {
        let scanned = stores.number(scans).await - before;
        (scanned > 0).then_some(scanned)
    })
    .await;
    let crowd = (0..500).map(|_| {
        let (queries, owner) = (Arc::clone(&queries), owner.clone());
        async move { queries.summary(&owner, (window(), 10), Database::Usual, at(NOW)).await.expect("summary") }
    });
    assert!(join_all(crowd).await.iter().all(|summary| summary.total_events == 1));
    stores.api.close().await;
    eventually("the readers' statistics", || async {
        (stores.number(&gone.replace("worker", "api")).await == 0).then_some(())
    })
    .await;
    assert_eq!(stores.number(scans).await - before, 2 * alone);
    stores.finish().await;
}

#[tokio::test]
async fn without_postgres_the_last_answer_is_shown_as_stale_up_to_a_bound() {
    let stores = Stores::on(&engines().postgres, |config| config.database.db_read_timeout_ms = 300).await;
    stores.write(&[event("acme", "e")]).await;
    let owner = account("acme");
    let queries = stores.queries();
    let ask = |now| queries.summary(&owner, (window(), 10), Database::Usual, at(now));
    assert!(!ask(NOW).await.expect("summary").stale);

    // Another process, whose Postgres is away.
    let mut away = stores.config.clone();
    away.database.database_url = Some(Secret::new("postgres://weir_api@127.0.0.1:9/none"));
    let store = weir::store::ApiStore::open(&away.database).expect("store");
    let queries = stores.queries_on(store);
    let ask = |now| queries.summary(&owner, (window(), 10), Database::Usual, at(now));
    let summary = ask(NOW + 300).await.expect("stale");
    assert!(summary.stale && summary.total_events == 1);
    assert_eq!(summary.computed_at, at(NOW));
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert!(matches!(ask(NOW + 901).await, Err(QueryError::Unavailable(_))));
    stores.finish().await;
}

#[tokio::test]
async fn an_account_over_its_share_is_refused_and_others_are_not() {
    let stores = Stores::on(&engines().postgres, |config| config.query.reads_per_account = 1).await;
    let queries = Arc::new(stores.queries());
    let (whale, small) = (account("whale"), account("small"));
    let locked = stores.execute("BEGIN; LOCK TABLE event_counts; SELECT pg_sleep(3); COMMIT");
    let crowd = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let ask = |n: i64| {
            let window = Window::last(3_600 + n, at(NOW));
            queries.summary(&whale, (window, 10), Database::Usual, at(NOW))
        };
        let answers = join_all((0..40).map(ask)).await;
        let refused = answers.iter().filter(|answer| matches!(answer, Err(QueryError::Concurrent))).count();
        assert!(refused >= 30, "{refused}");
        let page = queries.events(&small, &weir::query::EventQuery::default(), 1, at(NOW)).await;
        assert!(page.is_ok(), "{page:?}");
    };
    tokio::join!(locked, crowd);
    stores.finish().await;
}

#[tokio::test]
async fn ever_new_windows_do_not_fill_redis() {
    let stores = Stores::new().await;
    stores.write(&[event("acme", "e")]).await;
    let (owner, queries) = (account("acme"), stores.queries());
    for n in 0..200 {
        // Whole buckets, each window another one; and one that begins in the middle of a bucket.
        for from in [NOW - n * 900, NOW - n * 900 + 1] {
            let window = Window::new(at(from), at(NOW + 899), 1_000_000).expect("window");
            let summary = queries.summary(&owner, (window, 10), Database::Usual, at(NOW)).await.expect("summary");
            assert_eq!(summary.total_events, u64::from(from <= NOW));
        }
    }
    let held = stores.redis_keys("summary").await;
    assert!((50..=64).contains(&held), "{held}");
    stores.finish().await;
}

#[tokio::test]
async fn the_same_question_has_one_answer_whatever_was_asked_before() {
    let stores = Stores::on(&engines().postgres, |config| config.query.exact_events = 1_000).await;
    let events: Vec<_> = (0..1_500)
        .map(|n| weir::domain::event::Event { timestamp: at(NOW + n / 2), ..event("acme", &format!("e-{n}")) })
        .collect();
    stores.write(&events).await;
    let (owner, queries) = (account("acme"), stores.queries());
    let ask = async |from, to| {
        let window = Window::new(at(from), at(to), 86_400).expect("window");
        let summary = queries.summary(&owner, (window, 10), Database::Primary, at(NOW)).await.expect("summary");
        (summary.window, summary.total_events, summary.counts, summary.top_users)
    };
    // Ten seconds of a bucket that holds more than can be counted one by one.
    let part = ask(NOW + 10, NOW + 19).await;
    assert_eq!(part.1, 20);
    assert_eq!(ask(NOW, NOW + 899).await.1, 1_500);
    assert_eq!(ask(NOW + 10, NOW + 19).await, part);
    stores.finish().await;
}
