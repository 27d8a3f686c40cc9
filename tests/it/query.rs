//! Questions on a real Postgres and Redis: exact, shared, and answered without Redis.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use weir::config::Secret;
use weir::domain::event::Event;
use weir::domain::window::Window;
use weir::query::{Database, EventQuery, QueryError};
use weir::store::EventSink;

use crate::stores::{BASE, Stores, account, at, event, eventually, own_postgres, own_redis};

/// Four hours around [`BASE`], an event every 40 seconds, some at the same instant.
fn history(name: &str) -> Vec<Event<'static>> {
    (0..360)
        .map(|index| Event {
            event_name: ["click", "view", "buy"][index as usize % 3].into(),
            user_id: format!("user-{}", index % 7).into(),
            timestamp: at(BASE - 7_200 + index / 2 * 80),
            ..event(name, &format!("{index:03}"))
        })
        .collect()
}

#[tokio::test]
async fn a_summary_is_a_plain_recount_whatever_its_edges() {
    let stores = Stores::new().await;
    let events = history("acme");
    stores.worker.write(&events, &[]).await.expect("write");
    stores.worker.write(&history("other"), &[]).await.expect("write");
    let queries = stores.queries();
    for (from, to) in
        [(-7_200, 7_200), (-7_133, 5_011), (0, 899), (1, 898), (100, 2_000), (20_000, 30_000), (-900, -900)]
    {
        let window = Window::new(at(BASE + from), at(BASE + to), 100_000).expect("window");
        let inside: Vec<_> =
            events.iter().filter(|event| (BASE + from..=BASE + to).contains(&event.timestamp.unix_seconds())).collect();
        let summary = queries.summary(&account("acme"), (window, 3), Database::Usual, at(BASE)).await.expect("summary");
        assert_eq!(summary.total_events, inside.len() as u64, "{from}..={to}");
        for count in &summary.counts {
            let plain = inside.iter().filter(|event| event.event_name == count.event_name).count();
            assert_eq!(count.events, plain as u64, "{from}..={to} {}", count.event_name);
        }
        assert_eq!(summary.counts.iter().map(|count| count.events).sum::<u64>(), summary.total_events);
        let top_users = summary.top_users.expect("counted");
        for user in &top_users {
            let plain = inside.iter().filter(|event| event.user_id == user.user_id).count();
            assert_eq!(user.events, plain as u64, "{from}..={to} {}", user.user_id);
        }
        assert!(top_users.is_sorted_by(|left, right| left.events >= right.events));
    }
    stores.finish().await;
}

#[tokio::test]
async fn a_storm_on_one_key_is_one_question() {
    let stores = Stores::new().await;
    stores.worker.write(&history("acme"), &[]).await.expect("write");
    let queries = Arc::new(stores.queries());
    let window = Window::new(at(BASE), at(BASE + 100), 1_000).expect("window");

    // While the table is locked, questions pile up where they can be counted.
    let mut superuser = stores.superuser().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE events").execute(&mut superuser).await.expect("lock");
    let acme = account("acme");
    let storm = join_all((0..300).map(|_| queries.summary(&acme, (window, 10), Database::Usual, at(BASE))));
    let unlock = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name = 'weir-api' AND wait_event_type = 'Lock'";
        eventually("a question at the lock", || async { (stores.number(waiting).await > 0).then_some(()) }).await;
        // Room for a second one to get there.
        let mut asked = 0;
        for _ in 0..20 {
            asked = asked.max(stores.number(waiting).await);
        }
        sqlx::raw_sql("COMMIT").execute(&mut superuser).await.expect("unlock");
        asked
    };
    let (answers, asked) = tokio::join!(storm, unlock);
    assert_eq!(asked, 1);
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|summary| summary.total_events == 4)));
    drop(superuser);
    stores.finish().await;
}

#[tokio::test]
async fn another_process_finds_the_answer_in_redis() {
    let stores = Stores::new().await;
    stores.worker.write(&history("acme"), &[]).await.expect("write");
    let window = Window::new(at(BASE), at(BASE + 899), 1_000).expect("window");
    let first = stores
        .queries()
        .summary(&account("acme"), (window, 10), Database::Usual, at(BASE))
        .await
        .expect("from Postgres");
    stores.worker.write(&[event("acme", "new")], &[]).await.expect("write");

    let kept =
        stores.queries().summary(&account("acme"), (window, 10), Database::Usual, at(BASE)).await.expect("from Redis");
    assert_eq!((kept.total_events, kept.computed_at), (first.total_events, at(BASE)));
    let fresh =
        stores.queries().summary(&account("acme"), (window, 10), Database::Usual, at(BASE + 46)).await.expect("anew");
    assert_eq!((fresh.total_events, fresh.computed_at), (first.total_events + 1, at(BASE + 46)));
    let other = stores
        .queries()
        .summary(&account("other"), (window, 10), Database::Usual, at(BASE))
        .await
        .expect("another account");
    assert_eq!(other.total_events, 0);
    stores.finish().await;
}

#[tokio::test]
async fn without_redis_questions_are_answered_all_the_same() {
    let redis = own_redis();
    let url = redis.url();
    let stores = Stores::on(&crate::stores::engines().postgres, |config| {
        config.redis.redis_url = Some(Secret::new(url));
        config.redis.redis_timeout_ms = 500;
    })
    .await;
    stores.worker.write(&history("acme"), &[]).await.expect("write");
    let ask = |shift: i64| {
        let stores = &stores;
        async move {
            let window = Window::new(at(BASE - shift * 900), at(BASE + 899), 100_000).expect("window");
            stores
                .queries()
                .summary(&account("acme"), (window, 10), Database::Usual, at(BASE))
                .await
                .expect("summary")
                .total_events
        }
    };
    let expected = ask(0).await;

    redis.pause();
    let queries = stores.queries();
    let begun = Instant::now();
    for shift in 0..20 {
        let window = Window::new(at(BASE - shift * 900), at(BASE + 899), 100_000).expect("window");
        queries.summary(&account("acme"), (window, 10), Database::Usual, at(BASE)).await.expect("summary");
    }
    // Twenty questions of two commands each would take 20 s if each waited for its own deadline.
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    redis.resume();

    redis.kill().expect("kill");
    assert_eq!(ask(0).await, expected);
    redis.start().expect("restart");
    let cache = weir::cache::Cache::open(&stores.config.redis).expect("cache");
    eventually("Redis to answer", || async { cache.probe().await.ok() }).await;
    stores.finish().await;
    redis.stop().expect("stop");
}

#[tokio::test]
async fn without_postgres_kept_answers_still_serve_and_others_say_so() {
    let postgres = own_postgres();
    let stores = Stores::on(&postgres, |config| config.database.db_read_timeout_ms = 2_000).await;
    stores.worker.write(&history("acme"), &[]).await.expect("write");
    let window = Window::new(at(BASE), at(BASE + 899), 1_000).expect("window");
    let first =
        stores.queries().summary(&account("acme"), (window, 10), Database::Usual, at(BASE)).await.expect("summary");

    postgres.pause();
    let kept = stores
        .queries()
        .summary(&account("acme"), (window, 10), Database::Usual, at(BASE + 30))
        .await
        .expect("from Redis");
    assert_eq!(kept.total_events, first.total_events);
    let unknown = stores.queries().summary(&account("acme"), (window, 11), Database::Usual, at(BASE)).await;
    assert!(matches!(unknown, Err(QueryError::Unavailable(_))), "{unknown:?}");
    postgres.resume();
    eventually("the store to answer", || async {
        stores.queries().summary(&account("acme"), (window, 11), Database::Usual, at(BASE)).await.ok()
    })
    .await;
    stores.finish().await;
    postgres.stop().expect("stop");
}

#[tokio::test]
async fn pages_show_every_event_once_newest_first_while_events_come_in() {
    let stores = Stores::new().await;
    let mut events = history("acme");
    stores.worker.write(&events, &[]).await.expect("write");
    let queries = stores.queries();
    let (mut seen, mut asked) = (Vec::new(), EventQuery::default());
    loop {
        let page = queries.events(&account("acme"), &asked, 7, at(BASE)).await.expect("page");
        seen.extend(page.events.into_iter().map(|stored| stored.event));
        let newer = Event { timestamp: at(BASE + 9_000), ..event("acme", &format!("late-{}", seen.len())) };
        stores.worker.write(&[newer], &[]).await.expect("write");
        let Some(next) = page.next_cursor else { break };
        // Another account's cursor is a place in time and opens nothing.
        asked.cursor = Some(next);
        let foreign = queries.events(&account("other"), &asked, 7, at(BASE)).await.expect("page");
        assert!(foreign.events.is_empty());
    }
    events.sort_by(|left, right| (right.timestamp, &right.event_id).cmp(&(left.timestamp, &left.event_id)));
    assert_eq!(seen, events);

    let asked = EventQuery {
        event_name: Some("buy".into()),
        user_id: Some("user-2".into()),
        from: Some(at(BASE - 3_600)),
        to: Some(at(BASE + 3_600)),
        ..EventQuery::default()
    };
    let page = queries.events(&account("acme"), &asked, 250, at(BASE)).await.expect("page");
    let plain = events.iter().filter(|event| {
        event.event_name == "buy" && event.user_id == "user-2" && (event.timestamp.unix_seconds() - BASE).abs() <= 3_600
    });
    assert_eq!(
        page.events.into_iter().map(|stored| stored.event).collect::<Vec<_>>(),
        plain.cloned().collect::<Vec<_>>()
    );
    let refused =
        queries.events(&account("acme"), &EventQuery { cursor: Some("bm9wZQ".into()), ..asked }, 10, at(BASE)).await;
    assert!(matches!(refused, Err(QueryError::Cursor)), "{refused:?}");
    stores.finish().await;
}
