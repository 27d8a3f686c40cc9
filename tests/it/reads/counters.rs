//! Live counters against the events they count, with and without Redis.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weir::cache::Cache;
use weir::config::Secret;
use weir::domain::event::Event;
use weir::query::CountedBy;

use crate::stores::{BASE, Stores, account, at, engines, event, own_redis};

fn minute(n: i64, id: usize) -> Event<'static> {
    let event_name = ["view", "buy"][id % 2].into();
    Event { timestamp: at(BASE - n * 60), event_name, ..event("acme", &format!("{n}-{id}")) }
}

#[tokio::test]
async fn lost_counters_are_seeded_from_the_events_and_go_on_from_there() {
    let redis = own_redis();
    let url = redis.url();
    let stores = Stores::on(&engines().postgres, |config| {
        config.redis.redis_url = Some(Secret::new(url));
        config.redis.redis_timeout_ms = 500;
    })
    .await;
    let (queries, owner) = (stores.queries(), account("acme"));
    let batch: Vec<_> = (0..12).map(|id| minute(id as i64 * 7, id)).collect();
    stores.write(&batch).await;
    let ask = |minutes| queries.counters(&owner, minutes, at(BASE + 30));

    let first = ask(60).await.expect("seeded");
    assert_eq!((first.total, first.counted_by), (9, CountedBy::Postgres), "minutes 0 to 56 of twelve");
    let second = ask(60).await.expect("counters");
    assert_eq!((second.total, second.counted_by), (9, CountedBy::Redis));
    assert_eq!((second.minutes, second.names), (first.minutes, first.names));
    assert_eq!(ask(8).await.expect("counters").total, 2);

    redis.kill().expect("kill");
    let away = ask(60).await.expect("from Postgres");
    assert_eq!((away.total, away.counted_by), (9, CountedBy::Postgres));
    redis.start().expect("start");
    let cache = Cache::open(&stores.config.redis).expect("cache");
    crate::stores::eventually("Redis to answer", || async { cache.probe().await.ok() }).await;
    crate::stores::eventually("counters from Redis", || async {
        let counters = ask(60).await.expect("counters");
        assert_eq!(counters.total, 9);
        (counters.counted_by == CountedBy::Redis).then_some(())
    })
    .await;
    stores.finish().await;
    redis.stop().expect("stop");
}

#[tokio::test]
async fn a_tally_counts_new_rows_only() {
    let stores = Stores::new().await;
    let (queries, owner) = (stores.queries(), account("acme"));
    // The account is watched, so its counters are whole.
    let now = weir::domain::time::Timestamp::now();
    assert_eq!(queries.counters(&owner, 60, now).await.expect("seed").total, 0);
    let tally = Arc::new(weir::worker::Tally::new(Cache::open(&stores.config.redis).expect("cache")));
    let batch: Vec<_> = (0..5).map(|id| Event { timestamp: now, ..minute(0, id) }).collect();
    for _ in 0..2 {
        tally.add(&batch, &stores.write(&batch).await, now);
    }
    let stop = CancellationToken::new();
    stop.cancel();
    tally.run(stop).await;
    let counters = queries.counters(&owner, 60, now).await.expect("counters");
    assert_eq!((counters.total, counters.counted_by), (5, CountedBy::Redis));
    stores.finish().await;
}
