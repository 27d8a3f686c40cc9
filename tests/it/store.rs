//! The store on a real Postgres: written once, counted exactly, seen by its own account only.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::{Connection, PgConnection};
use weir::domain::event::{Channel, Event};
use weir::domain::id::EventId;
use weir::domain::time::Timestamp;
use weir::store::{Database, EventFilter, EventSink, Progress, Retired, StoredEvent, WriteError};

use crate::stores::{BASE, DISAGREEMENTS, Stores, account, at, event, eventually, own_postgres};

async fn read(stores: &Stores, name: &str, id: &EventId) -> Option<StoredEvent> {
    stores.api.event(&account(name), id, Database::Usual).await.expect("read").value
}

async fn data_as_of(stores: &Stores) -> Option<Timestamp> {
    let page = stores.api.events_page(&account("acme"), &EventFilter::default(), 1, Database::Usual).await;
    page.expect("read").data_as_of
}

#[tokio::test]
async fn an_event_comes_back_as_it_was_sent() {
    let stores = Stores::new().await;
    let digits = "9".repeat(1_000);
    let full = Event {
        event_name: "Köln \"quoted\"".into(),
        source: Some("sdk".into()),
        campaign_id: Some("c'1".into()),
        timestamp: Timestamp::from_micros(1_700_000_000_123_456).expect("time"),
        tags: vec!["a,b".into(), "{}".into(), "\\\"".into(), "NULL".into(), "".into(), "日本".into()],
        value: Some(digits.into()),
        schema_version: 7,
        metadata: Some("{\"b\": 1,  \"a\":[1.0, 1e3],\"b\":2}".into()),
        ..event("acme", "full")
    };
    let batch = [full.clone(), event("acme", "bare")];
    stores.worker.write(&batch, &[]).await.expect("write");

    let id = EventId::new("full").expect("id");
    let stored = read(&stores, "acme", &id).await.expect("stored");
    assert_eq!(stored.event, full);
    assert!(stored.stored_at > full.received_at);
    let bare = read(&stores, "acme", &batch[1].event_id).await.expect("stored");
    assert_eq!(bare.event, batch[1]);
    assert_eq!(read(&stores, "other", &id).await, None);
    stores.finish().await;
}

#[tokio::test]
async fn writing_again_changes_nothing() {
    let stores = Stores::new().await;
    let batch = [event("b", "1"), event("a", "1"), event("b", "1"), event("a", "2")];
    let first = stores.worker.write(&batch, &[]).await.expect("write");
    assert_eq!((first.inserted, first.duplicates), (3, 1));
    assert_eq!(first.new, [true, true, false, true]);

    let more = [event("a", "2"), event("a", "3"), event("b", "1")];
    let second = stores.worker.write(&more, &[]).await.expect("write");
    assert_eq!((second.inserted, second.duplicates), (1, 2));
    assert_eq!(second.new, [false, true, false]);
    assert_eq!(stores.number("SELECT count(*) FROM events").await, 4);
    assert_eq!(stores.number(DISAGREEMENTS).await, 0);
    stores.finish().await;
}

#[tokio::test]
async fn the_api_login_sees_nothing_without_an_account_and_only_its_own_with_it() {
    let stores = Stores::new().await;
    let hostile = r"';RESET/**/ROLE;--\";
    let batch = [event("acme", "1"), event("acme", "2"), event("globex", "1"), event(hostile, "1")];
    stores.worker.write(&batch, &[]).await.expect("write");

    let url = stores.config.database.database_url.as_ref().expect("url").expose();
    let mut login = PgConnection::connect(url).await.expect("api login");
    for table in ["events", "event_counts"] {
        let count = || sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let unset = sqlx::query_scalar::<_, i64>(count()).fetch_one(&mut login).await;
        assert!(unset.is_err(), "{table} without an account: {unset:?}");

        let mut transaction = login.begin().await.expect("begin");
        sqlx::raw_sql("SET LOCAL app.account_id = 'globex'").execute(&mut *transaction).await.expect("set");
        let own: i64 = sqlx::query_scalar(count()).fetch_one(&mut *transaction).await.expect("own");
        assert_eq!(own, 1, "{table}");
        transaction.commit().await.expect("commit");

        // Once set in a session, the setting is empty and not unset after the transaction.
        let after: i64 = sqlx::query_scalar(count()).fetch_one(&mut login).await.expect("empty");
        assert_eq!(after, 0, "{table}");
        login = PgConnection::connect(url).await.expect("api login");
    }
    for forbidden in [
        "DELETE FROM events",
        "INSERT INTO log_progress VALUES ('t', 0, 0, now())",
        "SELECT count(*) FROM events_00",
        "SET ROLE weir_worker",
        "CREATE TABLE mine ()",
    ] {
        let refused = sqlx::raw_sql(forbidden).execute(&mut login).await;
        assert!(refused.is_err(), "{forbidden}");
    }
    login.close().await.expect("close");

    let filter = EventFilter::default();
    let page =
        stores.api.events_page(&account(hostile), &filter, 10, Database::Usual).await.expect("hostile account").value;
    assert_eq!(page.len(), 1);
    stores.finish().await;
}

#[tokio::test]
async fn counts_agree_with_rows_whatever_the_batches() {
    let stores = Stores::new().await;
    for seed in 0..8 {
        let mut random = StdRng::seed_from_u64(seed);
        let batches: Vec<Vec<Event<'static>>> =
            (0..6).map(|_| (0..random.random_range(0..120)).map(|_| random_event(&mut random)).collect()).collect();
        // Two writers at a time, as with two connections or two workers.
        for pair in batches.chunks(2) {
            let (left, right) = tokio::join!(stores.worker.write(&pair[0], &[]), stores.worker.write(&pair[1], &[]));
            for (written, batch) in [left, right].into_iter().zip(pair) {
                let written = written.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                assert_eq!(written.inserted + written.duplicates, batch.len(), "seed {seed}");
            }
            assert_eq!(stores.number(DISAGREEMENTS).await, 0, "seed {seed}");
        }
    }
    stores.finish().await;
}

/// From so few ids that many collide, within a batch and between batches.
fn random_event(random: &mut StdRng) -> Event<'static> {
    let values = ["1", "-2.50", "1e3", "0.1", "123456789012345678901234567890.5"];
    let id = random.random_range(0..400);
    Event {
        event_name: ["click", "view", "buy"][id % 3].into(),
        channel: Channel::ALL[id % 5],
        timestamp: at(BASE + random.random_range(-2_000..2_000)),
        value: (id % 2 == 0).then(|| values[id % values.len()].into()),
        ..event(["a", "b", "c"][id % 3], &id.to_string())
    }
}

#[tokio::test]
async fn writers_on_the_same_keys_never_deadlock() {
    let stores = Stores::new().await;
    let ids: Vec<String> = (0..200).map(|id| id.to_string()).collect();
    let make = |round: usize, ids: &mut dyn Iterator<Item = &String>| -> Vec<Event<'static>> {
        ids.map(|id| event(["a", "b", "c", "d"][id.len() % 4], &format!("{round}-{id}"))).collect()
    };
    for round in 0..20 {
        let forward = make(round, &mut ids.iter());
        let backward = make(round, &mut ids.iter().rev());
        let (left, right) = tokio::join!(stores.worker.write(&forward, &[]), stores.worker.write(&backward, &[]));
        let inserted = left.expect("forward").inserted + right.expect("backward").inserted;
        assert_eq!(inserted, 200, "round {round}");
    }
    assert_eq!(stores.number(DISAGREEMENTS).await, 0);
    stores.finish().await;
}

#[tokio::test]
async fn progress_never_goes_back() {
    let stores = Stores::new().await;
    let progress = |partition, next_offset, seconds| Progress {
        topic: "weir.events".into(),
        partition,
        next_offset,
        record_time: at(seconds),
    };
    let as_of = || async { data_as_of(&stores).await };
    assert_eq!(as_of().await, None);
    stores.worker.write(&[event("acme", "1")], &[progress(0, 10, 100), progress(1, 5, 50)]).await.expect("write");
    assert_eq!(as_of().await, Some(at(50)));
    stores.worker.touch_progress(&[progress(1, 5, 200), progress(0, 3, 20)]).await.expect("touch");
    assert_eq!(as_of().await, Some(at(100)));
    assert_eq!(stores.number("SELECT next_offset FROM log_progress WHERE kafka_partition = 0").await, 10);
    stores.finish().await;
}

#[tokio::test]
async fn refused_content_is_told_from_a_broken_schema() {
    let stores = Stores::new().await;
    let nul = Event { user_id: "a\0b".into(), ..event("acme", "1") };
    let not_a_number = Event { value: Some("12x".into()), ..event("acme", "2") };
    let not_json = Event { metadata: Some("{".into()), ..event("acme", "3") };
    for poison in [nul, not_a_number, not_json] {
        let batch = [event("acme", "good"), poison];
        let refused = stores.worker.write(&batch, &[]).await;
        assert!(matches!(refused, Err(WriteError::Data(_))), "{refused:?}");
    }
    assert_eq!(stores.number("SELECT count(*) FROM events").await, 0, "all or nothing");

    let partition = stores.number(
        "SELECT i::bigint FROM generate_series(0, 15) AS i
          WHERE satisfies_hash_partition('events'::regclass, 16, i, 'acme'::text COLLATE \"C\")",
    );
    let table = format!("events_{:02}", partition.await);
    stores.execute(&format!("ALTER TABLE events DETACH PARTITION {table}")).await;
    let lost = stores.worker.write(&[event("acme", "1")], &[]).await;
    assert!(matches!(lost, Err(WriteError::Schema(_))), "{lost:?}");
    stores.worker.probe().await.expect("the tables are there");
    stores.execute("ALTER TABLE events RENAME TO elsewhere").await;
    let gone = stores.worker.write(&[event("acme", "1")], &[]).await;
    assert!(matches!(gone, Err(WriteError::Schema(_))), "{gone:?}");
    assert!(matches!(stores.worker.probe().await, Err(WriteError::Schema(_))));
    stores.finish().await;
}

#[tokio::test]
async fn a_frozen_postgres_costs_a_deadline_and_nothing_else() {
    let postgres = own_postgres();
    let limit = Duration::from_secs(1);
    let stores = Stores::on(&postgres, |config| {
        config.database.db_write_timeout_ms = 1_000;
        config.database.db_read_timeout_ms = 1_000;
    })
    .await;
    stores.worker.write(&[event("acme", "1")], &[]).await.expect("write");
    data_as_of(&stores).await;

    postgres.pause();
    let begun = Instant::now();
    let batch = [event("acme", "1"), event("acme", "2")];
    let (acme, all) = (account("acme"), EventFilter::default());
    for _ in 0..3 {
        let (write, read) =
            tokio::join!(stores.worker.write(&batch, &[]), stores.api.events_page(&acme, &all, 1, Database::Usual));
        assert!(matches!(write, Err(WriteError::Transient(_))), "{write:?}");
        assert!(matches!(read, Err(weir::store::ReadError::Unavailable(_))), "{read:?}");
    }
    assert!(stores.api.probe().await.is_err());
    assert!(begun.elapsed() < 4 * limit + Duration::from_secs(4), "took {:?}", begun.elapsed());
    postgres.resume();

    eventually("the store to write again", || async { stores.worker.write(&batch, &[]).await.ok() }).await;
    assert_eq!(stores.number("SELECT count(*) FROM events").await, 2);
    assert_eq!(stores.number(DISAGREEMENTS).await, 0);

    postgres.kill().expect("kill");
    let write = stores.worker.write(&batch, &[]).await;
    assert!(matches!(write, Err(WriteError::Transient(_))), "{write:?}");
    postgres.start().expect("restart");
    eventually("the store to write again", || async { stores.worker.write(&batch, &[]).await.ok() }).await;
    assert_eq!(stores.number("SELECT count(*) FROM events").await, 2);
    stores.finish().await;
    postgres.stop().expect("stop");
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let stores = Stores::new().await;
    stores.worker.write(&[event("acme", "1")], &[]).await.expect("write");
    weir::store::migrate(stores.config.database.database_migrate_url.as_ref().expect("url")).await.expect("again");
    assert_eq!(stores.number("SELECT count(*) FROM events").await, 1);
    stores.finish().await;
}

#[tokio::test]
async fn what_is_past_its_retention_goes_with_its_counts_and_nothing_else_does() {
    let stores = Stores::new().await;
    let day = |days: i64| at(BASE - BASE % 86_400 - days * 86_400);
    let of = |who: &str, id: usize, time| Event { timestamp: time, ..event(who, &id.to_string()) };
    let before = day(0);
    // More than one transaction may delete of one account, and accounts without anything old between those with.
    let old = (0..4_500).map(|id| of("whale", id, day(1 + id as i64 % 50)));
    let kept = (4_500..4_600).map(|id| of("whale", id, before));
    let others = (0..30).map(|n| of(&format!("m{n:02}"), 0, day(if n % 3 == 0 { 9 } else { 0 })));
    let all: Vec<Event> = old.chain(kept).chain(others).collect();
    for batch in all.chunks(2_000) {
        stores.worker.write(batch, &[]).await.expect("write");
    }

    let (mut after, mut gone) = (None, 0);
    loop {
        match stores.worker.retire(before, after.as_ref()).await.expect("step") {
            Retired::More { events, after: reached } => {
                assert_eq!(stores.number(DISAGREEMENTS).await, 0);
                gone += events;
                after = reached;
            }
            Retired::Done => break,
            Retired::Elsewhere => panic!("nobody else clears"),
        }
    }
    assert_eq!(gone, 4_510);
    assert_eq!(stores.number("SELECT count(*) FROM events").await, 120);
    assert_eq!(stores.number("SELECT sum(events)::bigint FROM event_counts").await, 120);
    assert_eq!(stores.number(DISAGREEMENTS).await, 0);
    assert_eq!(stores.worker.retire(before, None).await.expect("again"), Retired::Done);
    stores.finish().await;
}

#[tokio::test]
async fn one_worker_at_a_time_clears() {
    let stores = Stores::new().await;
    stores.worker.write(&[event("acme", "1")], &[]).await.expect("write");
    let before = at(BASE + 86_400 - BASE % 86_400);
    let mut other = stores.superuser().await;
    let mut transaction = other.begin().await.expect("begin");
    sqlx::raw_sql("SELECT pg_advisory_xact_lock(131277444481025)").execute(&mut *transaction).await.expect("lock");
    assert_eq!(stores.worker.retire(before, None).await.expect("step"), Retired::Elsewhere);
    transaction.commit().await.expect("commit");
    drop(other);
    let step = stores.worker.retire(before, None).await.expect("step");
    assert_eq!(step, Retired::More { events: 1, after: Some(account("acme")) });
    stores.finish().await;
}
