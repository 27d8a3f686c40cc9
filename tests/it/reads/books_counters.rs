//! Live counters agree with a plain recount, too: over random loads with late events, duplicates and replays.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weir::cache::Cache;
use weir::worker::Tally;

use super::books_model::{ACCOUNTS, Books, Load, START};
use crate::stores::{Stores, account, at};

#[tokio::test]
async fn counters_agree_with_a_recount_while_events_come_in() {
    let stores = Stores::new().await;
    let (queries, tally) = (stores.queries(), Arc::new(Tally::new(Cache::open(&stores.config.redis).expect("cache"))));
    // In the middle of the load: some of it is older than an hour, some still to come.
    let now = at(START + 6 * 3_600);
    let hour = now.unix_seconds().div_euclid(60) - 59..now.unix_seconds().div_euclid(60) + 1;
    let mut books = Books::default();
    for seed in 0..5 {
        let mut load = Load::new(seed);
        let mut batches: Vec<_> = (0..6).map(|_| load.batch()).collect();
        batches.extend_from_within(4..);
        for batch in &batches {
            let written = stores.write(batch).await;
            books.enter(batch);
            tally.add(batch, &written, now);
        }
        let stop = CancellationToken::new();
        stop.cancel();
        tally.run(stop).await;
        for owner in ACCOUNTS {
            let counters = queries.counters(&account(owner), 60, now).await.expect("counters");
            let mut names = BTreeMap::<String, u64>::new();
            let mut minutes = BTreeMap::<i64, u64>::new();
            for event in books.all(owner) {
                let minute = event.timestamp.unix_seconds().div_euclid(60);
                if hour.contains(&minute) {
                    *names.entry(event.event_name.to_string()).or_default() += 1;
                    *minutes.entry(minute).or_default() += 1;
                }
            }
            let told: BTreeMap<_, _> =
                counters.names.into_iter().map(|count| (count.event_name, count.events)).collect();
            assert_eq!(told, names, "{owner}, seed {seed}, {:?}", counters.counted_by);
            let busy = counters.minutes.into_iter().filter(|(_, events)| *events > 0);
            let told: BTreeMap<_, _> =
                busy.map(|(start, events)| (start.unix_seconds().div_euclid(60), events)).collect();
            assert_eq!(told, minutes, "{owner}, seed {seed}");
        }
    }
    stores.finish().await;
}
