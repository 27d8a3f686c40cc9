//! How fresh answers say they are, and waiting for a receipt.

use std::time::{Duration, Instant};

use weir::domain::id::EventId;
use weir::domain::receipt::Receipt;
use weir::domain::time::{SECOND, Timestamp};
use weir::domain::window::Window;
use weir::query::{Database, EventQuery, QueryError};

use crate::stores::{PARTITIONS, Stores, TOPIC, account, at, event};

const NOW: i64 = crate::stores::BASE;

#[tokio::test]
async fn only_the_accounts_own_partitions_hold_its_time_back() {
    let stores = Stores::new().await;
    let owner = account("acme");
    let bulk = format!("{TOPIC}.bulk");
    stores.topics.learn([(TOPIC.to_owned(), PARTITIONS), (bulk.clone(), PARTITIONS)]);
    let homes = stores.topics.homes(&owner).expect("known");
    let as_of = || async {
        let page = stores.queries().events(&owner, &EventQuery::default(), 1, at(NOW)).await.expect("page");
        (page.freshness.data_as_of, page.freshness.lag_seconds)
    };
    for topic in [TOPIC, &bulk, "topic.of.old"] {
        for partition in 0..PARTITIONS {
            if !homes.iter().any(|home| (&*home.0, home.1) == (topic, partition)) {
                stores.settle(topic, partition, 1, at(NOW - 900)).await;
            }
        }
    }
    // Of the account's own partitions one is as good as unknown until the last of them is known.
    for (topic, partition) in &homes {
        assert_eq!(as_of().await, (None, None));
        stores.settle(topic, *partition, 1, at(NOW - 5)).await;
    }
    assert_eq!(as_of().await, (Some(at(NOW - 5)), Some(5.0)));
    for (topic, partition) in &homes[1..] {
        stores.settle(topic, *partition, 2, at(NOW - 1)).await;
    }
    assert_eq!(as_of().await, (Some(at(NOW - 5)), Some(5.0)));
    stores.finish().await;
}

#[tokio::test]
async fn a_broker_whose_clock_is_ahead_vouches_for_nothing_that_is_still_to_come() {
    let stores = Stores::new().await;
    let ahead = Timestamp::now().saturating_add_micros(3_600 * SECOND);
    stores.settle(TOPIC, 0, 1, ahead).await;
    let owner = account("acme");
    let page = stores.queries().events(&owner, &EventQuery::default(), 1, Timestamp::now()).await.expect("page");
    assert!(page.freshness.data_as_of.is_some_and(|as_of| as_of <= Timestamp::now()), "{:?}", page.freshness);
    stores.finish().await;
}

#[tokio::test]
async fn a_reader_who_shows_a_receipt_waits_until_it_counts_and_sees_it_past_the_caches() {
    let stores = Stores::new().await;
    let (queries, owner) = (stores.queries(), account("acme"));
    let window = Window::new(at(NOW - 900), at(NOW + 899), 3_600).expect("window");
    let total = |database| {
        let (queries, owner) = (&queries, &owner);
        async move { queries.summary(owner, (window, 10), database, at(NOW)).await.expect("summary").total_events }
    };
    assert_eq!(total(Database::Usual).await, 0);

    let receipt = Receipt { topic: TOPIC.into(), partition: 2, offset: 7 };
    let text = stores.sealer.seal(&owner, &receipt, &EventId::new("e").expect("id"));
    let begun = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stores.write(&[event("acme", "e")]).await;
        stores.settle(TOPIC, 2, 8, at(NOW)).await;
    };
    let (database, ()) = tokio::join!(queries.wait_for(&owner, Some(&text)), later);
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(300) && waited < Duration::from_secs(5), "{waited:?}");
    assert_eq!(total(Database::Usual).await, 0, "still cached");
    assert_eq!(total(database.expect("counted")).await, 1);
    stores.finish().await;
}

#[tokio::test]
async fn waiting_is_bounded_and_foreign_receipts_are_refused_at_once() {
    let stores = Stores::new().await;
    let queries = stores.queries();
    let receipt = Receipt { topic: TOPIC.into(), partition: 2, offset: 7 };
    let text = stores.sealer.seal(&account("acme"), &receipt, &EventId::new("e").expect("id"));
    stores.settle(TOPIC, 2, 7, at(NOW)).await;
    let begun = Instant::now();
    assert!(matches!(queries.wait_for(&account("other"), Some(&text)).await, Err(QueryError::Receipt)));
    assert!(begun.elapsed() < Duration::from_secs(5), "refused at once");
    assert!(matches!(queries.wait_for(&account("acme"), Some(&text)).await, Err(QueryError::NotCounted)));
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(5) && waited < Duration::from_secs(15), "{waited:?}");
    stores.finish().await;
}
