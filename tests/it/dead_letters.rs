//! Records that cannot be stored: set aside whole, their neighbours stored, replay harmless.

use std::time::{Duration, Instant};

use serde_json::json;
use weir::dlq::{Filter, Replay, list, replay};
use weir::kafka::{Producer, Publish as _, Record};

use crate::harness::{TestApp, eventually};

const WITHIN: Duration = Duration::from_secs(20);

/// Puts bytes straight into the event topic, past the door.
async fn inject(app: &TestApp, producer: &Producer, value: &str) {
    let record = Record {
        topic: app.config().kafka.kafka_topic.as_str().into(),
        key: Some(b"acme".to_vec().into()),
        value: Some(value.as_bytes().to_vec().into()),
        headers: Vec::new(),
    };
    let deadline = tokio::time::Instant::from_std(Instant::now() + WITHIN);
    let results = producer.publish(vec![record], deadline).await;
    assert!(results[0].is_ok(), "{results:?}");
}

/// Sends one more event of the account whose records were replayed: it follows them in their partition, so once it is stored
/// they are settled.
async fn settle_behind(app: &TestApp, id: &str) {
    let acme = app.client("acme");
    acme.post("/v1/events", &json!({"event_id": id, "event_name": "view", "user_id": "u"})).await.expect(202);
    eventually("the event behind", || async {
        (acme.get(&format!("/v1/events/{id}")).await.status == 200).then_some(())
    })
    .await;
}

fn everything() -> Replay {
    Replay {
        filter: Filter::default(),
        dry_run: false,
        per_second: 1_000,
        park_after: 3,
        force: false,
        deadline: WITHIN,
    }
}

#[tokio::test]
async fn poison_is_set_aside_and_its_neighbours_are_stored() {
    let app = TestApp::start().await;
    let acme = app.client("acme");
    let kafka = &app.config().kafka;
    let producer = Producer::start(kafka).expect("producer");
    for round in 0..5 {
        let event = json!({"event_id": format!("good-{round}"), "event_name": "view", "user_id": "u"});
        acme.post("/v1/events", &event).await.expect(202);
        inject(&app, &producer, "not json").await;
        inject(&app, &producer, r#"{"event_id":"x"}"#).await;
    }
    acme.post("/v1/events", &json!({"event_id": "last", "event_name": "view", "user_id": "u"})).await.expect(202);

    eventually("the neighbours", || async { (app.sql("select count(*) from events").await == "6").then_some(()) })
        .await;
    let listing = eventually("ten dead letters", || async {
        let listing = list(kafka, &Filter::default(), 50, WITHIN).await.expect("list");
        (listing.matching == 10).then_some(listing)
    })
    .await;
    assert!(listing.rows.iter().all(|row| row.reason == "undecodable"), "{:?}", listing.rows);

    for round in 1..=2 {
        let report = replay(kafka, &*producer, &everything()).await.expect("replay");
        assert_eq!((report.matching, report.foreign), (10, 0), "{report:?}");
        eventually("the replayed to come back", || async {
            let listing = list(kafka, &Filter::default(), 50, WITHIN).await.expect("list");
            (listing.rows.iter().filter(|row| row.replays == round).count() == 10).then_some(())
        })
        .await;
    }
    settle_behind(&app, "behind").await;
    assert_eq!(app.sql("select count(*) from events").await, "7");
    app.finish().await;
}

#[tokio::test]
async fn what_postgres_refuses_is_bisected_out_of_its_batch() {
    let app = TestApp::start().await;
    // A rule the door does not know makes Postgres refuse some events with a data error.
    app.sql(
        "create function refuse() returns trigger language plpgsql as $$ begin \
         if new.user_id = 'poison' then raise exception using errcode = '22023'; end if; return new; end $$; \
         create trigger refuse before insert on events for each row execute function refuse()",
    )
    .await;
    let acme = app.client("acme");
    let events: Vec<_> = (0..200)
        .map(|i| {
            let user = if i % 50 == 7 { "poison" } else { "fine" };
            json!({"event_id": format!("e{i}"), "event_name": "view", "user_id": user})
        })
        .collect();
    acme.post("/v1/events/batch", &json!({ "events": events })).await.expect(202);
    eventually("the fine ones", || async { (app.sql("select count(*) from events").await == "196").then_some(()) })
        .await;
    let kafka = &app.config().kafka;
    let listing = eventually("four dead letters", || async {
        let listing = list(kafka, &Filter::default(), 50, WITHIN).await.expect("list");
        (listing.matching == 4).then_some(listing)
    })
    .await;
    assert!(listing.rows.iter().all(|row| row.reason == "unstorable" && row.tries >= 3), "{:?}", listing.rows);

    app.sql("drop trigger refuse on events").await;
    let producer = Producer::start(kafka).expect("producer");
    for round in 1..=2 {
        let report = replay(kafka, &*producer, &everything()).await.expect("replay");
        assert_eq!(report.replayed, 4, "{report:?}");
        settle_behind(&app, &format!("behind-{round}")).await;
        assert_eq!(app.sql("select count(*) from events").await, (200 + round).to_string());
    }
    app.finish().await;
}
