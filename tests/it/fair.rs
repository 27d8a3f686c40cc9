//! A large account beside small ones, from the door to the rows: who is stored when, and who goes by which lane.

use std::collections::HashMap;

use serde_json::{Value, json};
use weir::app::Roles;
use weir::config::Config;

use crate::harness::{Client, TestApp, eventually};

/// Quotas out of the way: these tests are about what passes them.
fn unlimited(config: &mut Config) {
    config.limit.limit_sustained = 1_000_000_000;
    config.limit.limit_burst = 1_000_000_000;
    config.limit.limit_bytes = 1_000_000_000_000;
}

async fn send(client: &Client, prefix: &str, events: usize) -> Vec<Value> {
    let event =
        |n| json!({"event_id": format!("{prefix}-{n}"), "event_name": "view", "user_id": format!("u{}", n % 8)});
    let batch = json!({"events": (0..events).map(event).collect::<Vec<_>>()});
    let answer = client.post("/v1/events/batch", &batch).await.expect(202);
    answer.body["results"].as_array().expect("results").clone()
}

/// The lane that one more event of the client takes.
async fn lane(client: &Client) -> String {
    let answer = client.post("/v1/events", &json!({"event_name": "probe", "user_id": "probe"})).await.expect(202);
    let lane = answer.header("x-weir-lane").expect("a lane").to_owned();
    let receipt = answer.body["receipt"].as_str().expect("receipt");
    assert_eq!(receipt.contains(".bulk/"), lane == "bulk", "{receipt} by {lane}");
    lane
}

async fn wait_for_lane(client: &Client, wanted: &str) -> usize {
    let probes = std::cell::Cell::new(0);
    eventually("the lane", || async {
        probes.set(probes.get() + 1);
        (lane(client).await == wanted).then_some(())
    })
    .await;
    probes.get()
}

#[tokio::test]
async fn a_small_account_behind_a_backlog_in_its_own_partition_is_stored_long_before_its_end() {
    const WHALE: usize = 10_000;
    let mut app = TestApp::start_with(Roles::API, |config| {
        unlimited(config);
        config.lanes.lane_backlog = 1_000_000;
        config.kafka.kafka_partitions = 1;
        config.worker.worker_batch_events = 100;
        config.worker.worker_concurrency = 1;
    })
    .await;
    for round in 0..WHALE / 1_000 {
        send(&app.client("whale"), &round.to_string(), 1_000).await;
    }
    for minnow in ["minnow-1", "minnow-2"] {
        send(&app.client(minnow), "m", 1).await;
    }
    app.stop().await;
    app.restart(Roles::ALL).await;
    eventually("all rows", || async {
        (app.sql("select count(*) from events").await == (WHALE + 2).to_string()).then_some(())
    })
    .await;
    let before = "select count(*) from events where account_id = 'whale' and stored_at <
                  (select max(stored_at) from events where account_id like 'minnow-%')";
    let before: usize = app.sql(before).await.parse().expect("a number");
    let after = "select extract(milliseconds from (select max(stored_at) from events where account_id like 'minnow-%')
                 - min(stored_at))::int || ' of ' || extract(milliseconds from max(stored_at) - min(stored_at))::int from events";
    eprintln!("behind {WHALE} records in one partition: stored after {before} of them, {} ms", app.sql(after).await);
    assert!(before < WHALE * 9 / 10, "{before} of {WHALE} rows of the whale came first");
    app.finish().await;
}

#[tokio::test]
async fn an_account_moves_to_the_bulk_lane_and_back_under_load_and_nothing_is_lost_or_doubled() {
    let app = TestApp::start_with(Roles::ALL, |config| {
        unlimited(config);
        // A burst alone is past it, and what the probes leave is below a quarter of it.
        config.lanes.lane_backlog = 400;
        config.lanes.lane_quiet_seconds = 1;
    })
    .await;
    let (whale, minnow) = (app.client("whale"), app.client("minnow"));
    let mut sent = 0;
    let mut places: HashMap<(String, String), Vec<(i64, usize)>> = HashMap::new();
    for round in 0..3 {
        for burst in 0..6 {
            let results = send(&whale, &format!("{round}-{burst}"), 500).await;
            sent += results.len();
            for (n, result) in results.iter().enumerate() {
                let receipt = result["receipt"].as_str().expect("receipt");
                let topic = receipt.split('/').next().expect("topic").to_owned();
                let place = (result["partition"].as_i64().expect("partition"), n % 8);
                places.entry((topic, format!("u{}", n % 8))).or_default().push(place);
            }
            assert_eq!(lane(&minnow).await, "standard", "nobody else moves");
            sent += 1;
        }
        sent += wait_for_lane(&whale, "standard").await;
    }
    // Of a user all records of a lane stand in one partition, and so in order.
    for ((topic, user), places) in &places {
        assert!(places.iter().all(|place| place.0 == places[0].0), "{user} in {topic}: {places:?}");
    }
    let bulk = format!("{}.bulk", app.config().kafka.kafka_topic);
    assert!(places.keys().any(|(topic, _)| *topic == bulk), "nothing took the bulk lane");
    eventually("all rows", || async {
        (app.sql("select count(*) from events").await == sent.to_string()).then_some(())
    })
    .await;
    assert_eq!(app.sql("select count(distinct (account_id, event_id)) from events").await, sent.to_string());
    eventually("the history", || async {
        let history = "select string_agg(distinct account_id || ':' || lane, ',' order by account_id || ':' || lane) from account_lanes";
        (app.sql(history).await == "whale:bulk,whale:standard").then_some(())
    })
    .await;
    app.finish().await;
}

#[tokio::test]
async fn an_operators_pin_decides_until_it_is_taken_away() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    assert_eq!(lane(&acme).await, "standard");
    app.sql("insert into lane_pins (account_id, lane, actor, reason) values ('acme', 'bulk', 'op', 'test')").await;
    wait_for_lane(&acme, "bulk").await;
    app.sql("delete from lane_pins").await;
    wait_for_lane(&acme, "standard").await;
    app.finish().await;
}
