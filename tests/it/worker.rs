//! The worker against engines of its own: poisoned records, Postgres killed and paused, partitions changing hands.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir::codec::envelope;
use weir::config::{Config, Secret};
use weir::dlq::{DeadLetters, Filter, Replay, list, replay};
use weir::domain::event::{Channel, Event};
use weir::domain::id::{AccountId, EventId};
use weir::domain::time::Timestamp;
use weir::kafka::{Consumer, Producer, Publish, Record, admin};
use weir::store::WorkerStore;
use weir::worker::{Worker, WorkerError};
use weir_local::{EngineOptions, Engines, Login};

const PATIENCE: Duration = Duration::from_secs(90);

/// Its own engines: these tests kill them.
static ENGINES: LazyLock<Engines> = LazyLock::new(|| {
    let root = weir_local::shared_for_tests(Path::new(env!("CARGO_MANIFEST_DIR"))).root().join("worker");
    Engines::start(&root, &EngineOptions::default()).expect("engines")
});

static NEXT: AtomicU32 = AtomicU32::new(1);

/// Only one test at a time may break the engines.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Rig {
    config: Config,
    database: String,
    producer: Arc<Producer>,
    workers: Vec<(CancellationToken, JoinHandle<Result<(), WorkerError>>)>,
}

impl Rig {
    async fn new() -> Self {
        let database = format!("worker_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut config = Config::from_env().expect("defaults");
        let postgres = &ENGINES.postgres;
        postgres.create_database(&database).expect("database");
        weir::store::migrate(&Secret::new(postgres.login(Login::Migrate, &database))).await.expect("migrations");
        config.database.database_worker_url = Some(Secret::new(postgres.login(Login::Worker, &database)));
        config.database.db_write_timeout_ms = 3_000;
        config.kafka.kafka_server = ENGINES.kafka.bootstrap();
        config.kafka.kafka_topic = format!("{database}.events");
        config.kafka.kafka_dead_letter_topic = format!("{database}.dead");
        config.kafka.kafka_group = database.clone();
        config.kafka.kafka_session_timeout_ms = 6_000;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        admin::ensure_topics(&config.kafka, deadline).await.expect("topics");
        let producer = Producer::start(&config.kafka).expect("producer");
        Self { config, database, producer, workers: Vec::new() }
    }

    #[allow(clippy::disallowed_methods, reason = "a test is its own composition root")]
    fn start_worker(&mut self) {
        let store = WorkerStore::open(&self.config.database, &self.config.worker).expect("store");
        let consumer = Consumer::start(&self.config.kafka, &[]).expect("consumer");
        let publisher: Arc<dyn Publish> = Arc::<Producer>::clone(&self.producer);
        let dead =
            DeadLetters::new(publisher, &self.config.kafka.kafka_dead_letter_topic, self.config.kafka.ack_timeout());
        let worker = Worker::new(&self.config.worker, &self.config.database, consumer, Arc::new(store), dead);
        let stop = CancellationToken::new();
        self.workers.push((stop.clone(), tokio::spawn(worker.run(stop))));
    }

    async fn stop_worker(&mut self) -> Duration {
        let (stop, running) = self.workers.remove(0);
        let since = Instant::now();
        stop.cancel();
        running.await.expect("no panic").expect("a clean end");
        since.elapsed()
    }

    fn record(&self, number: usize) -> Record {
        let account = format!("account-{}", number % 40);
        record(&self.config.kafka.kafka_topic, &event(&account, &format!("e-{number}"), "click"))
    }

    async fn publish(&self, records: Vec<Record>) {
        for chunk in records.chunks(5_000) {
            let deadline = tokio::time::Instant::now() + PATIENCE;
            for result in self.producer.publish(chunk.to_vec(), deadline).await {
                result.expect("acknowledged");
            }
        }
    }

    async fn publish_numbers(&self, numbers: std::ops::Range<usize>) {
        self.publish(numbers.map(|number| self.record(number)).collect()).await;
    }

    async fn sql(&self, sql: &str) -> String {
        let (database, sql) = (self.database.clone(), sql.to_owned());
        let asked = move || ENGINES.postgres.psql(&database, &sql).map(|text| text.trim().to_owned());
        tokio::task::spawn_blocking(asked).await.expect("join").unwrap_or_else(|error| error.to_string())
    }

    async fn wait_for_rows(&self, rows: usize) {
        self.wait_for("select count(*) from events", &rows.to_string()).await;
    }

    async fn wait_for(&self, sql: &str, expected: &str) {
        let until = Instant::now() + PATIENCE;
        let mut seen = String::new();
        while Instant::now() < until {
            seen = self.sql(sql).await;
            if seen == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{sql}: {seen} instead of {expected}");
    }

    /// Waits until so many records are said to wait, in all partitions.
    async fn wait_for_lag(&self, records: i64) {
        let (until, topic) = (Instant::now() + PATIENCE, format!("topic=\"{}\"}}", self.config.kafka.kafka_topic));
        let lag = || {
            let text = String::from_utf8(weir::telemetry::metrics::render()).expect("text");
            let own =
                text.lines().filter(|line| line.starts_with("weir_log_consumer_lag_records") && line.contains(&topic));
            own.filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok()).sum::<i64>()
        };
        while lag() != records {
            assert!(Instant::now() < until, "{} wait instead of {records}", lag());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn assert_books_balance(&self) {
        let sql = "select (select count(*) from events) - (select sum(events) from event_counts)";
        assert_eq!(self.sql(sql).await, "0");
    }

    async fn letters(&self) -> weir::dlq::Listing {
        list(&self.config.kafka, &Filter::default(), 100, PATIENCE).await.expect("listing")
    }

    async fn finish(mut self) {
        while !self.workers.is_empty() {
            self.stop_worker().await;
        }
        self.assert_books_balance().await;
    }
}

fn event(account: &str, id: &str, name: &'static str) -> Event<'static> {
    let now = Timestamp::now();
    Event {
        event_id: EventId::new(id).expect("id"),
        account_id: AccountId::new(account).expect("account"),
        event_name: name.into(),
        user_id: "user".into(),
        channel: Channel::Web,
        source: None,
        campaign_id: None,
        timestamp: now,
        tags: Vec::new(),
        value: Some("1.5".into()),
        schema_version: 1,
        metadata: Some(r#"{"page":"/checkout","referrer":"https://example.org/a/b/c","items":[1,2,3]}"#.into()),
        received_at: now,
    }
}

fn record(topic: &str, event: &Event<'_>) -> Record {
    let account = event.account_id.to_string();
    let header = |name: &'static str, value: &str| (name.into(), Some(value.to_owned().into()));
    Record {
        topic: topic.into(),
        key: Some(account.clone().into()),
        value: Some(envelope::encode(event).into()),
        headers: vec![header("account_id", &account), header("v", "1"), header("request_id", "r-1")],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poisoned_records_are_set_aside_and_replaying_them_changes_nothing_twice() {
    let _turn = TURN.lock().await;
    let mut rig = Rig::new().await;
    rig.sql("alter table events add constraint no_poison check (event_name <> 'poison')").await;
    let mut records: Vec<Record> = (0..2_000).map(|number| rig.record(number)).collect();
    let topic = rig.config.kafka.kafka_topic.clone();
    records[100].value = Some(b"{\"half\":".as_slice().into());
    records[300].value = None;
    records[500].headers.retain(|(name, _)| name != "account_id");
    records[700].key = Some(b"somebody-else".as_slice().into());
    records[900].value = Some(vec![b'x'; 1_000_000].into());
    for at in [1_100, 1_101, 1_999] {
        records[at] = record(&topic, &event("account-1", &format!("poison-{at}"), "poison"));
    }
    rig.publish(records).await;
    rig.start_worker();
    rig.wait_for_rows(1_992).await;
    let progress = "select coalesce(sum(next_offset), 0) from log_progress";
    rig.wait_for(progress, "2000").await;
    let letters = rig.letters().await;
    assert_eq!((letters.matching, letters.scanned), (8, 8), "{letters:?}");
    assert_eq!(letters.rows.iter().filter(|row| row.reason == "unstorable" && row.tries == 3).count(), 3);
    assert!(letters.rows.iter().all(|row| row.reason == "undecodable" || row.detail.contains("SQLSTATE 23514")));

    let request = Replay {
        filter: Filter { account: AccountId::new("account-1").ok(), reason: None },
        dry_run: true,
        per_second: 1_000,
        park_after: 3,
        force: false,
        deadline: PATIENCE,
    };
    let dry = replay(&rig.config.kafka, &*rig.producer, &request).await.expect("dry run");
    assert_eq!((dry.matching, dry.replayed), (3, 0));
    rig.sql("alter table events drop constraint no_poison").await;
    let request = Replay { dry_run: false, ..request };
    for _ in 0..2 {
        let sent = replay(&rig.config.kafka, &*rig.producer, &request).await.expect("replay");
        assert_eq!((sent.matching, sent.replayed), (3, 3));
    }
    rig.wait_for_rows(1_995).await;
    rig.wait_for(progress, "2006").await;
    assert_eq!(rig.letters().await.matching, 8);

    let undecodable = Filter { account: None, reason: Some(weir::domain::outcome::DeadReason::Undecodable) };
    let request = Replay { filter: undecodable, ..request };
    for round in 1..=3 {
        let sent = replay(&rig.config.kafka, &*rig.producer, &request).await.expect("replay");
        assert_eq!((sent.matching, sent.replayed), (5, 5), "round {round}");
        rig.wait_for(progress, &(2_006 + 5 * round).to_string()).await;
    }
    let parked = replay(&rig.config.kafka, &*rig.producer, &request).await.expect("replay");
    assert_eq!((parked.matching, parked.replayed, parked.parked), (5, 0, 5));
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_killed_and_paused_loses_nothing() {
    let _turn = TURN.lock().await;
    let mut rig = Rig::new().await;
    rig.start_worker();
    rig.publish_numbers(0..20_000).await;
    rig.wait_for("select count(*) > 1000 from events", "t").await;
    let before = retries();
    ENGINES.postgres.kill().expect("killed");
    rig.publish_numbers(20_000..40_000).await;
    wait_for_trouble(before).await;
    ENGINES.postgres.start().expect("started");
    rig.wait_for_rows(40_000).await;

    let before = retries();
    ENGINES.postgres.pause();
    rig.publish_numbers(40_000..50_000).await;
    wait_for_trouble(before).await;
    ENGINES.postgres.resume();
    rig.wait_for_rows(50_000).await;
    assert_eq!(rig.letters().await.scanned, 0);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_told_although_nothing_is_stored() {
    let _turn = TURN.lock().await;
    let mut rig = Rig::new().await;
    // So little room that fetching rests soon.
    rig.config.worker.worker_buffer_kib = 1_024;
    rig.config.worker.worker_batch_kib = 128;
    ENGINES.postgres.pause();
    rig.publish_numbers(0..10_000).await;
    rig.start_worker();
    rig.wait_for_lag(10_000).await;
    rig.publish_numbers(10_000..15_000).await;
    rig.wait_for_lag(15_000).await;
    ENGINES.postgres.resume();
    rig.wait_for_rows(15_000).await;
    rig.wait_for_lag(0).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_change_hands_under_load_lose_and_repeat_nothing() {
    let _turn = TURN.lock().await;
    let mut rig = Rig::new().await;
    rig.start_worker();
    let mut stops = Vec::new();
    for round in 0..6 {
        rig.publish_numbers(round * 5_000..(round + 1) * 5_000).await;
        if round % 2 == 0 {
            rig.start_worker();
        } else {
            stops.push(rig.stop_worker().await);
        }
    }
    rig.wait_for_rows(30_000).await;
    assert!(stops.iter().all(|stop| *stop < Duration::from_secs(25)), "{stops:?}");
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_partitions_stay_fresh() {
    let _turn = TURN.lock().await;
    let mut rig = Rig::new().await;
    rig.publish_numbers(0..100).await;
    rig.start_worker();
    rig.wait_for_rows(100).await;
    // Six partitions of each lane, most of which never saw a record: all are vouched for beyond the last record's time.
    let later = rig.sql("select now() + interval '2 seconds'").await;
    rig.wait_for(&format!("select count(*) from log_progress where record_time > '{later}'"), "12").await;
    rig.finish().await;
}

/// Waits until a worker has met trouble with Postgres that it had not met before.
async fn wait_for_trouble(before: u64) {
    let until = Instant::now() + PATIENCE;
    while retries() <= before {
        assert!(Instant::now() < until, "the worker does not notice");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Writes that had to be tried again because Postgres was away.
fn retries() -> u64 {
    let text = String::from_utf8(weir::telemetry::metrics::render()).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix("weir_worker_retries_total{class=\"transient\"} "));
    line.map_or(0, |count| count.parse().expect("a number"))
}
