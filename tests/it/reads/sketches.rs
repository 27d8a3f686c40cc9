//! Unique and top users of windows above the cap: within the stated error of a plain recount, with late events told and caught up.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;
use weir::domain::event::{Channel, Event};
use weir::domain::window::Window;
use weir::query::{Database, GroupBy, Metrics, MetricsQuery, Queries, Summary, Zone};
use weir::store::Written;
use weir::worker::Keeper;

use crate::stores::{BASE, Stores, account, at, engines, event, eventually};

/// Events of one bucket that are sketched.
const LEAST: u32 = 1_000;

/// Six big buckets, four small ones and an edge on either side, 12,000 users and one whale among them.
fn load() -> Vec<Event<'static>> {
    let mut all = Vec::new();
    for bucket in 0..10_i64 {
        let events = if bucket < 6 { 4_000 } else { 100 };
        for n in 0..events {
            let user = if n % 50 == 0 { "whale".to_owned() } else { format!("u{}", (bucket * 2_000 + n * 7) % 12_000) };
            all.push(Event {
                event_name: ["view", "buy"][usize::from(n % 4 == 0)].into(),
                user_id: user.into(),
                channel: [Channel::Web, Channel::Api][usize::from(n % 3 == 0)],
                timestamp: at(BASE + bucket * 900 + n % 900),
                ..event("acme", &format!("{bucket}-{n}"))
            });
        }
    }
    all
}

fn window() -> Window {
    Window::new(at(BASE + 450), at(BASE + 8_700), 100_000).expect("window")
}

async fn ask(queries: &Queries, group_by: Option<GroupBy>) -> (Metrics, Summary) {
    let asked = MetricsQuery {
        event_name: "view".into(),
        window: window(),
        group_by,
        time_zone: Zone::default(),
        cursor: None,
        limit: 50,
        database: Database::Usual,
    };
    let metrics = queries.metrics(&account("acme"), &asked, at(BASE)).await.expect("metrics");
    let summary = queries.summary(&account("acme"), (window(), 5), Database::Primary, at(BASE)).await.expect("summary");
    (metrics, summary)
}

fn inside<'a>(events: &'a [Event<'static>]) -> impl Iterator<Item = &'a Event<'static>> {
    let seconds = window().from_seconds()..=window().to_seconds();
    events.iter().filter(move |event| seconds.contains(&event.timestamp.unix_seconds()))
}

#[track_caller]
fn near(estimate: Option<u64>, events: Vec<&Event>, error: f64) {
    let users: BTreeSet<_> = events.iter().map(|event| &*event.user_id).collect();
    let (estimate, truth) = (estimate.expect("told") as f64, users.len() as f64);
    assert!((estimate - truth).abs() <= truth * error + 1.0, "{estimate} is not {truth} ± {error}");
}

/// Above the cap a summary is about whole buckets, and says so.
#[track_caller]
fn the_summary_is_near(summary: Summary, events: &[Event<'static>]) {
    let top = summary.top_users.expect("told");
    assert_eq!(summary.window, window().widened());
    let seconds = summary.window.from_seconds()..=summary.window.to_seconds();
    let of_summary: Vec<_> = events.iter().filter(|event| seconds.contains(&event.timestamp.unix_seconds())).collect();
    assert_eq!(summary.total_events, of_summary.len() as u64);
    let whale = of_summary.iter().filter(|event| event.user_id == "whale").count() as f64;
    let error = summary.approximation.expect("estimated").relative_error * top[top.len() - 1].events as f64;
    assert_eq!((top.len(), top[0].user_id.as_str()), (5, "whale"));
    assert!((top[0].events as f64 - whale).abs() <= error + 1.0, "{} is not {whale} ± {error}", top[0].events);
}

#[tokio::test]
async fn estimates_are_within_their_error_and_catch_up_with_late_events() {
    let stores = Stores::on(&engines().postgres, |config| config.query.exact_events = 1_000).await;
    let mut events = load();
    for batch in events.chunks(3_000) {
        stores.write(batch).await;
    }
    let (stop, keeper) = (CancellationToken::new(), Keeper::new(stores.worker.clone(), LEAST));
    let queries = stores.queries();
    let working = async {
        eventually("six sketched buckets", || async {
            (stores.number("SELECT count(*) FROM sketches WHERE event_name = ''").await == 6).then_some(())
        })
        .await;
        for group_by in [None, Some(GroupBy::Channel), Some(GroupBy::Hour), Some(GroupBy::Day)] {
            let (metrics, summary) = ask(&queries, group_by).await;
            let views: Vec<_> = inside(&events).filter(|event| event.event_name == "view").collect();
            let approximation = metrics.approximation.expect("estimated");
            assert!(approximation.relative_error < 0.05 && approximation.unseen_events == 0, "{approximation:?}");
            assert_eq!(metrics.total.measured.events, views.len() as u64);
            near(metrics.total.unique_users, views.clone(), approximation.relative_error);
            for group in &metrics.groups {
                let own = views.iter().copied().filter(|event| match group_by {
                    Some(GroupBy::Channel) => event.channel.as_str() == group.group,
                    Some(GroupBy::Hour) => event.timestamp.to_string()[..13] == group.group[..13],
                    _ => event.timestamp.to_string()[..10] == group.group[..],
                });
                let own: Vec<_> = own.collect();
                assert_eq!(group.figures.measured.events, own.len() as u64, "{}", group.group);
                near(group.figures.unique_users, own, 0.05);
            }
            the_summary_is_near(summary, &events);
        }

        let late: Vec<_> = (0..900)
            .map(|n| Event {
                event_name: "view".into(),
                user_id: format!("late{n}").into(),
                timestamp: at(BASE + 1_800 + n),
                ..event("acme", &format!("late{n}"))
            })
            .collect();
        let written: Written = stores.write(&late).await;
        let (metrics, _) = ask(&queries, None).await;
        assert_eq!(metrics.approximation.expect("estimated").unseen_events, 900);
        keeper.add(&late, &written);
        events.extend(late);
        let metrics = eventually("the late events to be seen", || async {
            let (metrics, _) = ask(&queries, None).await;
            (metrics.approximation.expect("estimated").unseen_events == 0).then_some(metrics)
        })
        .await;
        let views = inside(&events).filter(|event| event.event_name == "view").collect();
        near(metrics.total.unique_users, views, metrics.approximation.expect("estimated").relative_error);
        stop.cancel();
    };
    tokio::join!(keeper.run(stop.clone()), working);
    stores.finish().await;
}
