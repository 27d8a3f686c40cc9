//! The stores of one test on a database of their own. Invariant: `finish` fails when a connection is left open.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use weir::cache::Cache;
use weir::config::{Config, QueryConfig, Secret};
use weir::domain::event::{Channel, Event};
use weir::domain::id::{AccountId, EventId};
use weir::domain::partitioner::Topics;
use weir::domain::receipt::ReceiptSealer;
use weir::domain::routes::Routes;
use weir::domain::time::Timestamp;
use weir::query::Queries;
use weir::store::{ApiStore, EventSink, Progress, WorkerStore, Written};
use weir_local::{Engines, Lifetime, Login, Postgres, Redis};

static NEXT: AtomicU32 = AtomicU32::new(1);

/// 2023-11-14T22:00:00Z, the start of a bucket.
pub const BASE: i64 = 1_699_999_200;

/// Topic of the standard lane.
pub const TOPIC: &str = "weir.events";

/// Its partitions.
pub const PARTITIONS: i32 = 6;

pub fn engines() -> &'static Engines {
    weir_local::shared_for_tests(Path::new(env!("CARGO_MANIFEST_DIR")))
}

/// A Postgres of the test's own, to be paused and killed.
pub fn own_postgres() -> Postgres {
    let root = engines().root().join(format!("store-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    Postgres::start_in(&root, None, false, Lifetime::WithParent).expect("a Postgres of its own")
}

/// A Redis of the test's own, to be paused and killed.
pub fn own_redis() -> Redis {
    let root = engines().root().join(format!("cache-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    Redis::start_in(&root, None, Lifetime::WithParent).expect("a Redis of its own")
}

/// Both logins' stores and the configuration they came from.
pub struct Stores {
    pub api: ApiStore,
    pub worker: WorkerStore,
    pub config: Config,
    pub topics: Topics,
    pub sealer: ReceiptSealer,
    superuser: String,
    database: String,
}

impl Stores {
    /// On the shared engines.
    pub async fn new() -> Self {
        Self::on(&engines().postgres, |_| {}).await
    }

    /// On a migrated database of its own, after `adjust` has changed the configuration.
    pub async fn on(postgres: &Postgres, adjust: impl FnOnce(&mut Config)) -> Self {
        let database = format!("stores_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        postgres.create_database(&database).expect("database");
        let url = |login| Some(Secret::new(postgres.login(login, &database)));
        let mut config = Config::from_env().expect("defaults");
        config.database.database_url = url(Login::Api);
        config.database.database_worker_url = url(Login::Worker);
        config.database.database_migrate_url = url(Login::Migrate);
        config.redis.redis_url = Some(Secret::new(engines().redis.url()));
        config.redis.redis_prefix = database.clone();
        // Only tests that break Redis may call it away: on a busy machine an answer can take longer than the default.
        config.redis.redis_timeout_ms = 2_000;
        adjust(&mut config);
        weir::store::migrate(config.database.database_migrate_url.as_ref().expect("url")).await.expect("migrations");
        let topics = Topics::new(TOPIC);
        Self {
            api: ApiStore::open(&config.database).expect("api").with_topics(topics.clone()),
            topics,
            sealer: ReceiptSealer::new(b"a secret of the tests"),
            worker: WorkerStore::open(&config.database, &config.worker).expect("worker"),
            superuser: postgres.superuser_url(&database),
            config,
            database,
        }
    }

    /// Questions with a process cache of their own.
    pub fn queries(&self) -> Queries {
        self.queries_on(self.api.clone())
    }

    /// Questions to another store.
    pub fn queries_on(&self, store: ApiStore) -> Queries {
        self.queries_as(store, &self.config.query)
    }

    /// Questions that are answered another way.
    pub fn queries_with(&self, config: &QueryConfig) -> Queries {
        self.queries_as(self.api.clone(), config)
    }

    fn queries_as(&self, store: ApiStore, config: &QueryConfig) -> Queries {
        let cache = Cache::open(&self.config.redis).expect("cache");
        Queries::new((store, cache), self.sealer.clone(), Routes::new("events"), config)
    }

    /// Writes a batch that says nothing of progress.
    pub async fn write(&self, batch: &[Event<'static>]) -> Written {
        self.worker.write(batch, &[]).await.expect("write")
    }

    /// Notes progress of a partition.
    pub async fn settle(&self, topic: &str, partition: i32, next_offset: i64, record_time: Timestamp) {
        let progress = Progress { topic: topic.into(), partition, next_offset, record_time };
        self.worker.touch_progress(&[progress]).await.expect("progress");
    }

    /// The name of the database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Sees everything, obeys no policy.
    pub async fn superuser(&self) -> PgConnection {
        PgConnection::connect(&self.superuser).await.expect("superuser")
    }

    /// Runs statements as the superuser.
    pub async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.superuser().await).await.expect("statement");
    }

    /// Runs statements as the superuser by psql and gives what they print; on the shared Postgres only.
    pub async fn psql(&self, sql: String) -> String {
        let database = self.database.clone();
        let run = move || engines().postgres.psql(&database, &sql).expect("statements");
        tokio::task::spawn_blocking(run).await.expect("join")
    }

    /// One number, as the superuser.
    pub async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::query_scalar(sql).fetch_one(&mut self.superuser().await).await.expect("one number")
    }

    /// How many keys of that kind Redis holds for the test.
    pub async fn redis_keys(&self, kind: &str) -> usize {
        let (url, pattern) = (engines().redis.url(), format!("{}:*:{kind}*", self.database));
        let scan = move || {
            std::process::Command::new("redis-cli").args(["-u", &url, "--scan", "--pattern", &pattern]).output()
        };
        let printed = tokio::task::spawn_blocking(scan).await.expect("join").expect("redis-cli");
        String::from_utf8_lossy(&printed.stdout).lines().filter(|line| !line.is_empty()).count()
    }

    /// Closes the pools and drops the database.
    pub async fn finish(self) {
        self.api.close().await;
        self.worker.close().await;
        let left = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
            self.database
        );
        eventually("every connection to close", || async { (self.number(&left).await == 0).then_some(()) }).await;
        let url = self.superuser.replace(&format!("/{}", self.database), "/postgres");
        let mut superuser = PgConnection::connect(&url).await.expect("superuser");
        let drop = AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.database));
        sqlx::raw_sql(drop).execute(&mut superuser).await.expect("drop database");
    }
}

/// Counts that disagree with the rows, over all accounts: what must be none at every committed instant.
pub const DISAGREEMENTS: &str = "
    SELECT count(*)
      FROM (SELECT account_id, event_name, channel, date_bin('15 min', occurred_at, 'epoch') AS bucket,
                   count(*) AS events, count(value) AS value_count, COALESCE(sum(value), 0) AS value_sum
              FROM events GROUP BY 1, 2, 3, 4) AS plain
      FULL JOIN event_counts AS kept USING (account_id, event_name, channel, bucket)
     WHERE bucket >= (SELECT retained_from FROM retention)
       AND (plain.events IS DISTINCT FROM kept.events
            OR plain.value_count IS DISTINCT FROM kept.value_count
            OR plain.value_sum IS DISTINCT FROM kept.value_sum)";

pub fn account(name: &str) -> AccountId {
    AccountId::new(name).expect("account")
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).expect("time")
}

/// A plain event at [`BASE`].
pub fn event(account_id: &str, id: &str) -> Event<'static> {
    Event {
        event_id: EventId::new(id).expect("id"),
        account_id: account(account_id),
        event_name: "click".into(),
        user_id: "ada".into(),
        channel: Channel::Web,
        source: None,
        campaign_id: None,
        timestamp: at(BASE),
        tags: Vec::new(),
        value: None,
        schema_version: 1,
        metadata: None,
        received_at: at(BASE),
    }
}

/// Asks until the answer is `Some`.
pub async fn eventually<T, Fut: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> Fut) -> T {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain for {what}");
}
