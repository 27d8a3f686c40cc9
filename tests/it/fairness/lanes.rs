//! Lanes: who is moved, who is not, and that nothing is lost, doubled or put out of order on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};
use weir::app::Roles;
use weir::config::Config;
use weir::domain::lane::Lane;

use crate::harness::{Client, TestApp, eventually, operator_token, send, token};

const USERS: usize = 8;

/// Quotas out of the way: these tests are about what passes them.
fn unlimited(config: &mut Config) {
    config.limit.limit_sustained = 1_000_000_000;
    config.limit.limit_burst = 1_000_000_000;
    config.limit.limit_bytes = 1_000_000_000_000;
}

/// Sends events `from..to` of the account, each user's in turn; the lane they took and their lines.
async fn send_events(client: &Client, prefix: &str, numbers: std::ops::Range<usize>) -> (Lane, Vec<Value>) {
    let event =
        |n| json!({"event_id": format!("{prefix}-{n}"), "event_name": "view", "user_id": format!("u{}", n % USERS)});
    let batch = json!({"events": numbers.map(event).collect::<Vec<_>>()});
    let answer = client.post("/v1/events/batch", &batch).await.expect(202);
    let lane = Lane::parse(answer.header("x-weir-lane").expect("a lane")).expect("a lane we know");
    let lines = answer.body["results"].as_array().expect("results").clone();
    for line in &lines {
        let topic = line["receipt"].as_str().expect("receipt").split('/').next().expect("topic");
        assert_eq!(Lane::of_topic(topic), lane, "{line}");
    }
    (lane, lines)
}

/// Sends until the account's events take that lane; what was sent.
async fn wait_for_lane(client: &Client, prefix: &str, wanted: Lane) -> usize {
    let sent = std::cell::Cell::new(0);
    eventually("the lane", || async {
        let at = sent.replace(sent.get() + 1);
        (send_events(client, prefix, at..at + 1).await.0 == wanted).then_some(())
    })
    .await;
    sent.get()
}

async fn wait_for_rows(app: &TestApp, rows: usize) {
    eventually("all rows", || async {
        (app.sql("select count(*) from events").await == rows.to_string()).then_some(())
    })
    .await;
}

/// Reads the account's events of the standard topic and its bulk lane off a live stream until it has so many: lanes by event.
async fn watch(
    app: &TestApp,
    account: &str,
    wanted: usize,
    send: impl Future<Output = ()>,
) -> BTreeMap<String, String> {
    let watcher = app.client_with(Some(token(account, "events:read")));
    let mut answer =
        watcher.request("GET", "/v1/stream").timeout(crate::harness::PATIENCE).send().await.expect("stream");
    let (mut text, mut lanes) = (String::new(), BTreeMap::new());
    let mut read = async |until: &dyn Fn(&BTreeMap<String, String>, bool) -> bool| {
        loop {
            text += std::str::from_utf8(&answer.chunk().await.expect("chunk").expect("more")).expect("UTF-8");
            let mut greeted = false;
            while let Some(end) = text.find("\n\n") {
                let frame: String = text.drain(..end + 2).collect();
                let Some(data) = frame.lines().find_map(|line| line.strip_prefix("data: ")) else { continue };
                let frame: Value = serde_json::from_str(data).expect("JSON");
                assert_ne!(frame["type"], "gap", "{frame}");
                greeted = true;
                if frame["type"] == "event" {
                    let field = |name: &str| frame[name].as_str().expect("text").to_owned();
                    lanes.insert(field("event_id"), field("lane"));
                }
            }
            if until(&lanes, greeted) {
                return;
            }
        }
    };
    read(&|_, greeted| greeted).await;
    send.await;
    read(&|lanes, _| lanes.len() >= wanted).await;
    lanes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_moves_both_ways_under_load_and_nothing_is_lost_doubled_or_out_of_order() {
    let app = TestApp::start_with(Roles::ALL, |config| {
        unlimited(config);
        // A burst alone is past it, and what probes leave is below a quarter of it.
        config.lanes.lane_backlog = 900;
        config.lanes.lane_quiet_seconds = 2;
    })
    .await;
    let (whale, minnow) = (app.client("whale"), app.client("minnow"));
    let (mut sent, mut minnows) = (0, 0);
    let mut places: HashMap<(Lane, usize), Vec<(i64, i64)>> = HashMap::new();
    for round in 0..2 {
        let mut by_bulk = 0;
        for burst in 0.. {
            if by_bulk == 3 {
                break;
            }
            let (lane, lines) = send_events(&whale, &format!("{round}-{burst}"), 0..1_000).await;
            by_bulk += usize::from(lane == Lane::Bulk);
            sent += lines.len();
            for (n, line) in lines.iter().enumerate() {
                let place = (line["partition"].as_i64().expect("number"), line["offset"].as_i64().expect("number"));
                places.entry((lane, n % USERS)).or_default().push(place);
            }
            let (lane, lines) = send_events(&minnow, &format!("{round}-{burst}"), 0..1).await;
            assert_eq!(lane, Lane::Standard, "nobody else moves");
            minnows += lines.len();
        }
        sent += wait_for_lane(&whale, &format!("{round}-probe"), Lane::Standard).await;
    }
    // Of a user all records of a lane stand in one partition, in the order in which they were sent.
    for ((lane, user), places) in &places {
        assert!(places.iter().all(|place| place.0 == places[0].0), "u{user} in {lane}: {places:?}");
        assert!(places.is_sorted_by(|one, next| one.1 < next.1), "u{user} in {lane}: {places:?}");
    }
    wait_for_rows(&app, sent + minnows).await;
    assert_eq!(app.sql("select count(*) from events where account_id = 'minnow'").await, minnows.to_string());
    assert_eq!(app.sql("select sum(events) from event_counts where account_id = 'whale'").await, sent.to_string());
    let history =
        "select string_agg(lane || ' ' || reason, ',' order by since) from account_lanes where account_id = 'whale'";
    let to_and_fro = |history: &str| {
        let moves: Vec<_> = history.split(',').collect();
        moves.len() >= 4 && moves.chunks(2).all(|pair| pair == ["bulk backlog", "standard calm"])
    };
    eventually("the history", || async { to_and_fro(&app.sql(history).await).then_some(()) }).await;
    assert_eq!(app.sql("select count(distinct account_id) from account_lanes").await, "1", "nobody else moved");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_pin_decides_and_is_seen_everywhere() {
    let app = TestApp::start_with(Roles::ALL, |config| config.kafka.kafka_partitions = 6).await;
    let acme = app.client("acme");
    let operator = app.client_with(Some(operator_token("ops", "quotas:admin")));
    let path = "/v1/admin/accounts/acme/lane";
    app.client_with(Some(token("acme", "quotas:admin"))).get(path).await.expect(403);
    app.client_with(Some(operator_token("ops", "topics:admin"))).get(path).await.expect(403);
    let put = async |if_match: Option<&str>, lane: &str| {
        let request = operator.request("PUT", path).header("content-type", "application/json");
        let request = if let Some(tag) = if_match { request.header("if-match", tag) } else { request };
        send(request.body(json!({"reason": "a try", "lane": lane}).to_string())).await.expect("answer")
    };

    let found = operator.get(path).await.expect(200);
    assert_eq!(found.header("etag"), Some("\"0\""));
    assert_eq!((&found.body["lane"], &found.body["pinned"]), (&json!("standard"), &Value::Null));
    put(None, "express").await.expect(400);
    put(Some("\"7\""), "bulk").await.expect(412);
    let tag = put(Some("\"0\""), "bulk").await.expect(201).header("etag").expect("ETag").to_owned();
    put(None, "standard").await.expect(428);
    eventually("the pin", || async { (operator.get(path).await.expect(200).body["pinned"] == "bulk").then_some(()) })
        .await;

    // What an account of the bulk lane sends is stored, counted and watched like all else.
    let lanes = watch(&app, "acme", 20, async {
        let (lane, lines) = send_events(&acme, "pinned", 0..20).await;
        assert_eq!(lane, Lane::Bulk);
        let partitions: BTreeSet<_> = lines.iter().map(|line| line["partition"].as_i64()).collect();
        assert!((2..=4).contains(&partitions.len()), "its users are spread over {partitions:?}");
    })
    .await;
    assert!(lanes.values().all(|lane| lane == "bulk"), "{lanes:?}");
    wait_for_rows(&app, 20).await;
    assert_eq!(acme.get("/v1/limits").await.expect(200).body["lane"], "bulk");

    let remove = operator.request("DELETE", &format!("{path}?reason=over")).header("if-match", &tag);
    send(remove).await.expect("answer").expect(204);
    wait_for_lane(&acme, "after", Lane::Standard).await;
    let found = eventually("the history", || async {
        let found = operator.get(path).await.expect(200);
        (found.body["history"].as_array().map(Vec::len) == Some(2)).then_some(found)
    })
    .await;
    let history = |field: &str| [0, 1].map(|at| found.body["history"][at][field].clone());
    assert_eq!(history("reason"), ["unpinned", "pinned"]);
    assert_eq!(history("lane"), ["standard", "bulk"]);
    let audit = app.sql("select string_agg(action || ' ' || subject, ', ' order by audit_id) from audit").await;
    assert_eq!(audit, "create lane:acme, remove lane:acme");
    assert_eq!(app.sql("select count(*) from audit where account_id = 'acme' and actor = 'ops'").await, "2");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_topic_class_have_a_bulk_lane_too() {
    let app = TestApp::start().await;
    let operator = app.client_with(Some(operator_token("ops", "quotas:admin topics:admin")));
    let put = async |path: &str, body: Value| {
        let request = operator.request("PUT", path).header("content-type", "application/json");
        send(request.body(body.to_string())).await.expect("answer").expect(201);
    };
    put("/v1/admin/topics/orders", json!({"reason": "a try", "event_names": ["order.*"]})).await;
    put("/v1/admin/accounts/acme/lane", json!({"reason": "a try", "lane": "bulk"})).await;
    let (acme, wanted) = (app.client("acme"), format!("{}.class.orders.bulk/", app.config().kafka.kafka_topic));
    let sent = std::cell::Cell::new(0);
    eventually("the class and the pin to be followed", || async {
        sent.set(sent.get() + 1);
        let answer = acme.post("/v1/events", &json!({"event_name": "order.paid", "user_id": "u"})).await.expect(202);
        answer.body["receipt"].as_str().expect("receipt").starts_with(&wanted).then_some(())
    })
    .await;
    wait_for_rows(&app, sent.get()).await;
    app.finish().await;
}
