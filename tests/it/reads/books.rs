//! Counts, listing, metrics and summary tell the same story as a plain recount, whatever comes late, twice or again.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use weir::domain::event::Event;
use weir::query::{Database, EventQuery, GroupBy, MetricsQuery, Queries, Zone};

use super::books_model::{ACCOUNTS, Books, Load, NAMES, ranked};
use crate::stores::{DISAGREEMENTS, Stores, account, at};

const ROUNDS: u64 = 6;
const NOW: i64 = 1_800_000_000;

#[tokio::test]
async fn every_answer_agrees_with_a_recount() {
    let stores = Stores::new().await;
    // One sums up by events, one by counts.
    let mut by_counts = stores.config.query.clone();
    by_counts.few_events = 0;
    let both = [stores.queries(), stores.queries_with(&by_counts)];
    let queries = &both[0];
    let mut books = Books::default();
    for seed in 0..ROUNDS {
        let mut load = Load::new(seed);
        let mut batches: Vec<_> = (0..8).map(|_| load.batch()).collect();
        // A worker that died before it settled reads the same again.
        batches.extend_from_within(5..);
        for batch in &batches {
            let written = stores.write(batch).await;
            let new = books.enter(batch);
            assert_eq!((written.inserted, written.duplicates), (new, batch.len() - new), "seed {seed}");
        }
        counts_are_those_of_the_rows(&stores, &books).await;
        for owner in ACCOUNTS {
            the_listing_is_complete(queries, &books, owner).await;
            for _ in 0..4 {
                summaries_agree(&both, &books, owner, &mut load).await;
                metrics_agree(queries, &books, owner, &mut load).await;
            }
        }
    }
    stores.finish().await;
}

async fn counts_are_those_of_the_rows(stores: &Stores, books: &Books) {
    assert_eq!(stores.number(DISAGREEMENTS).await, 0);
    let stored = stores.number("SELECT count(*) FROM events").await;
    let counted: usize = ACCOUNTS.iter().map(|owner| books.all(owner).count()).sum();
    assert_eq!(stored, counted as i64);
}

async fn the_listing_is_complete(queries: &Queries, books: &Books, owner: &str) {
    let (mut asked, mut seen) = (EventQuery::default(), Vec::new());
    loop {
        let page = queries.events(&account(owner), &asked, 97, at(NOW)).await.expect("page");
        seen.extend(page.events.into_iter().map(|stored| stored.event));
        asked.cursor = page.next_cursor;
        if asked.cursor.is_none() {
            break;
        }
    }
    let mut expected: Vec<_> = books.all(owner).cloned().collect();
    expected.sort_by(|left, right| (right.timestamp, &right.event_id).cmp(&(left.timestamp, &left.event_id)));
    assert_eq!(seen, expected, "{owner}");
}

async fn summaries_agree(both: &[Queries; 2], books: &Books, owner: &str, load: &mut Load) {
    let (asker, window) = (account(owner), load.window());
    for queries in both {
        let asked = queries.summary(&asker, (window, 100), Database::Primary, at(NOW));
        let summary = asked.await.expect("summary");
        let counts: Vec<_> = summary.counts.into_iter().map(|count| (count.event_name, count.events)).collect();
        let users: Vec<_> =
            summary.top_users.expect("counted").into_iter().map(|user| (user.user_id, user.events)).collect();
        assert_eq!(summary.total_events, books.within(owner, window).count() as u64);
        assert_eq!(counts, ranked(books.within(owner, window).map(|event| &*event.event_name)), "{window:?}");
        assert_eq!(users, ranked(books.within(owner, window).map(|event| &*event.user_id)), "{window:?}");
    }
}

async fn metrics_agree(queries: &Queries, books: &Books, owner: &str, load: &mut Load) {
    let group_by = load.pick(&[GroupBy::Channel, GroupBy::Hour, GroupBy::Day, GroupBy::Source, GroupBy::EventName]);
    let zone = load.pick(&["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]);
    let mut asked = MetricsQuery {
        event_name: load.pick(&NAMES).into(),
        window: load.window(),
        group_by: Some(group_by),
        time_zone: zone.parse::<Zone>().expect("zone"),
        cursor: None,
        limit: load.pick(&[1, 3, 250]),
        database: Database::Usual,
    };
    let mut groups = BTreeMap::<String, Vec<&Event>>::new();
    let mut all = Vec::new();
    for event in books.within(owner, asked.window).filter(|event| event.event_name == asked.event_name) {
        groups.entry(group_of(event, group_by, zone)).or_default().push(event);
        all.push(event);
    }
    let mut found = BTreeMap::new();
    loop {
        let page = queries.metrics(&account(owner), &asked, at(NOW)).await.expect("metrics");
        assert!(page.approximation.is_none() && page.groups.len() <= usize::from(asked.limit));
        assert_eq!(tell(&page.total), figures(&all), "{asked:?}");
        for group in page.groups {
            assert!(found.insert(group.group, tell(&group.figures)).is_none(), "a group came twice: {asked:?}");
        }
        asked.cursor = page.next_cursor;
        if asked.cursor.is_none() {
            break;
        }
    }
    let expected: BTreeMap<_, _> = groups.iter().map(|(group, events)| (group.clone(), figures(events))).collect();
    assert_eq!(found, expected, "{owner} {asked:?}");
}

/// Events, users, and the sum of values in hundredths.
fn figures(events: &[&Event]) -> (u64, Option<u64>, i64) {
    let users: BTreeSet<_> = events.iter().map(|event| &*event.user_id).collect();
    let sum = events.iter().filter_map(|event| event.value.as_deref()).map(hundredths).sum();
    (events.len() as u64, Some(users.len() as u64), sum)
}

fn tell(figures: &weir::query::Figures) -> (u64, Option<u64>, i64) {
    let measured = &figures.measured;
    (measured.events, figures.unique_users, measured.sum.as_deref().map_or(0, hundredths))
}

fn hundredths(decimal: &str) -> i64 {
    (decimal.parse::<f64>().expect("a number") * 100.0).round() as i64
}

/// Offsets of the zones before and after the one change that the load spans, at 01:00 UTC on 29 March 2026 (Berlin) and at
/// 15:00 UTC on 4 April (Lord Howe, after the load).
fn group_of(event: &Event, group_by: GroupBy, zone: &str) -> String {
    let time: DateTime<Utc> = event.timestamp.to_chrono();
    let minutes = match zone {
        "Europe/Berlin" if time.timestamp() < 1_774_746_000 => 60,
        "Europe/Berlin" => 120,
        "Asia/Kathmandu" => 345,
        "Australia/Lord_Howe" => 660,
        _ => 0,
    };
    let local = time + TimeDelta::minutes(minutes);
    let offset = if minutes == 0 { "Z".to_owned() } else { format!("+{:02}:{:02}", minutes / 60, minutes % 60) };
    match group_by {
        GroupBy::Channel => event.channel.as_str().to_owned(),
        GroupBy::EventName => event.event_name.to_string(),
        GroupBy::Source => event.source.as_deref().unwrap_or_default().to_owned(),
        GroupBy::Day => local.format("%Y-%m-%d").to_string(),
        GroupBy::Hour => format!("{}{offset}", local.format("%Y-%m-%dT%H:00:00")),
    }
}
