//! Reads from a streaming replica of a real Postgres: they go there, say so, tell its time, and fall back while it is away.

use std::time::Duration;

use weir::config::Secret;
use weir::query::{Database, EventQuery, Queries};
use weir::store::ApiStore;
use weir_local::{Lifetime, Login};

use crate::stores::{BASE, PARTITIONS, Stores, TOPIC, account, at, engines, event, eventually, own_postgres};

async fn page(queries: &Queries, database: Database) -> (usize, bool, Option<weir::domain::time::Timestamp>) {
    let asked = EventQuery { database, ..EventQuery::default() };
    let page = queries.events(&account("acme"), &asked, 50, at(BASE + 60)).await.expect("page");
    (page.events.len(), page.freshness.replica, page.freshness.data_as_of)
}

#[tokio::test]
async fn reads_go_to_the_replica_and_to_the_primary_while_it_is_away() {
    let postgres = own_postgres();
    let stores = Stores::on(&postgres, |_| {}).await;
    let root = engines().root().join("replica");
    let replica = postgres.replica_in(&root, Lifetime::WithParent).expect("a replica");
    let mut config = stores.config.database.clone();
    config.database_read_url = Some(Secret::new(replica.login(Login::Api, stores.database())));
    stores.topics.learn([(TOPIC.to_owned(), PARTITIONS)]);
    let store = ApiStore::open(&config).expect("store").with_topics(stores.topics.clone());
    let queries = stores.queries_on(store.clone());
    let own = stores.topics.homes(&account("acme")).expect("known")[0].1;

    stores.write(&[event("acme", "1")]).await;
    stores.settle(TOPIC, own, 1, at(BASE)).await;
    eventually("the replica to have the event", || async {
        (page(&queries, Database::Usual).await == (1, true, Some(at(BASE)))).then_some(())
    })
    .await;

    // A replica that stands still tells its own, older truth; the primary knows better.
    replica.psql("postgres", "SELECT pg_wal_replay_pause()").expect("pause");
    stores.write(&[event("acme", "2")]).await;
    stores.settle(TOPIC, own, 2, at(BASE + 10)).await;
    assert_eq!(page(&queries, Database::Usual).await, (1, true, Some(at(BASE))));
    assert_eq!(page(&queries, Database::Primary).await, (2, false, Some(at(BASE + 10))));

    replica.stop().expect("stop");
    assert_eq!(page(&queries, Database::Usual).await, (2, false, Some(at(BASE + 10))));
    replica.start().expect("start");
    eventually("reads to return to the replica", || async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        (page(&queries, Database::Usual).await == (2, true, Some(at(BASE + 10)))).then_some(())
    })
    .await;
    store.close().await;
    replica.stop().expect("stop");
    stores.finish().await;
    postgres.stop().expect("stop");
}
