//! A whole Weir for one test. Invariant: whoever starts one calls `finish`, which fails on leftovers; dropping it unfinished
//! fails the test.

use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use weir::app::{App, Roles};
use weir::auth::signing::{Claims, Signer, create_keys};
use weir::config::{Config, Secret};
use weir::domain::id::AccountId;
use weir::domain::time::{SECOND, Timestamp};
use weir_local::Login;

use super::PATIENCE;
use super::client::Client;
use super::engines::{create_database, drop_database, engines, unique};

const ISSUER: &str = "weir-test";
const EVERY_SCOPE: &str = "events:write events:read metrics:read dlq:read dlq:write slo:read";

struct Keys {
    signer: Signer,
    jwks: String,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let dir = engines().root().join("keys");
    create_keys(&dir).expect("keys");
    Keys {
        signer: Signer::from_pem_file(&dir.join("signing.pem"), ISSUER, "weir").expect("signer"),
        jwks: dir.join("jwks.json").display().to_string(),
    }
});

/// A running app with its own database, Redis prefix and topics.
pub struct TestApp {
    app: Option<App>,
    config: Config,
    database: String,
}

impl TestApp {
    /// API and worker with the defaults.
    pub async fn start() -> Self {
        Self::start_with(Roles::ALL, |_| {}).await
    }

    /// The given roles, after `adjust` has changed the configuration.
    pub async fn start_with(roles: Roles, adjust: impl FnOnce(&mut Config)) -> Self {
        let mut app = Self::prepare(adjust).await;
        app.restart(roles).await;
        app
    }

    /// Database and topics without anything that serves them: for [`TestApp::command`].
    pub async fn prepare(adjust: impl FnOnce(&mut Config)) -> Self {
        let database = create_database().await;
        let mut config = config_for(&database);
        adjust(&mut config);
        weir::kafka::admin::ensure_topics(&config.kafka, tokio::time::Instant::now() + PATIENCE).await.expect("topics");
        Self { app: None, config, database }
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Base address of the public listener.
    pub fn url(&self) -> String {
        let address = self.app.as_ref().and_then(App::public_address).expect("a running API");
        format!("http://{address}")
    }

    /// Base address of the management listener.
    pub fn management_url(&self) -> String {
        format!("http://{}", self.app.as_ref().expect("running").management_address())
    }

    /// A client with every tenant scope of the account.
    pub fn client(&self, account: &str) -> Client {
        Client::new(self.url(), Some(token(account, EVERY_SCOPE)))
    }

    /// A client with the given token, or none.
    pub fn client_with(&self, token: Option<String>) -> Client {
        Client::new(self.url(), token)
    }

    /// The binary in a role, on the engines of this app, with its public listener on that port.
    pub fn command(&self, role: &str, port: u16) -> Command {
        let (config, mut command) = (&self.config, Command::new(env!("CARGO_BIN_EXE_weir")));
        let secret = |secret: &Option<Secret>| secret.as_ref().expect("set").expose().to_owned();
        command
            .arg(role)
            .env("WEIR_LISTEN", format!("127.0.0.1:{port}"))
            .env("WEIR_MANAGEMENT_LISTEN", "127.0.0.1:0")
            .env("WEIR_JWT_JWKS", config.auth.jwt_jwks.as_deref().expect("keys"))
            .env("WEIR_JWT_ISSUER", &config.auth.jwt_issuer)
            .env("DATABASE_URL", secret(&config.database.database_url))
            .env("DATABASE_WORKER_URL", secret(&config.database.database_worker_url))
            .env("REDIS_URL", secret(&config.redis.redis_url))
            .env("WEIR_REDIS_PREFIX", &config.redis.redis_prefix)
            .env("WEIR_REDIS_TIMEOUT_MS", config.redis.redis_timeout_ms.to_string())
            .env("WEIR_KAFKA_DEAD_LETTER_TOPIC", &config.kafka.kafka_dead_letter_topic)
            .env("WEIR_KAFKA_PARTITIONS", config.kafka.kafka_partitions.to_string())
            .env("WEIR_KAFKA_ACK_TIMEOUT_MS", config.kafka.kafka_ack_timeout_ms.to_string())
            .env("WEIR_KAFKA_STALL_MS", config.kafka.kafka_stall_ms.to_string())
            .env("KAFKA_SERVER", &config.kafka.kafka_server)
            .env("KAFKA_TOPIC", &config.kafka.kafka_topic)
            .env("WEIR_KAFKA_GROUP", &config.kafka.kafka_group);
        command
    }

    /// Runs SQL as superuser in the test's database; for looking, past every login.
    pub async fn sql(&self, sql: &str) -> String {
        let (database, sql) = (self.database.clone(), sql.to_owned());
        tokio::task::spawn_blocking(move || engines().postgres.psql(&database, &sql).expect("sql"))
            .await
            .expect("join")
            .trim()
            .to_owned()
    }

    /// Runs SQL as superuser beside the test's database; for when nobody gets into that one.
    pub async fn sql_elsewhere(&self, sql: &str) {
        let sql = sql.to_owned();
        tokio::task::spawn_blocking(move || engines().postgres.psql("postgres", &sql).expect("sql"))
            .await
            .expect("join");
    }

    /// Stops the app; the database and topics stay for another start.
    pub async fn stop(&mut self) {
        if let Some(app) = self.app.take() {
            tokio::time::timeout(Duration::from_secs(40), app.stop()).await.expect("stops in time").expect("stops");
        }
    }

    /// Starts, again after [`TestApp::stop`], on the same database and topics.
    pub async fn restart(&mut self, roles: Roles) {
        self.app = Some(App::start(self.config.clone(), roles).await.expect("app"));
    }

    /// Stops everything; fails when a part does not stop, a connection stays open or the books do not balance.
    pub async fn finish(mut self) {
        self.stop().await;
        let difference = self
            .sql("select coalesce((select sum(events) from event_counts), 0) - (select count(*) from events)")
            .await;
        drop_database(std::mem::take(&mut self.database)).await;
        assert_eq!(difference, "0", "sum(event_counts) differs from count(events)");
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if !self.database.is_empty() && !std::thread::panicking() {
            panic!("a TestApp was dropped without finish()");
        }
    }
}

/// A port of the loopback that nobody listens on.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address").port()
}

/// File of the key that signs tokens here; reports may be signed with it too.
pub fn signing_key() -> std::path::PathBuf {
    LazyLock::force(&KEYS);
    engines().root().join("keys/signing.pem")
}

/// A token of the account, valid for ten minutes.
pub fn token(account: &str, scope: &str) -> String {
    short_token(account, scope, 600)
}

/// A token of the account, valid for so many seconds.
pub fn short_token(account: &str, scope: &str, seconds: i64) -> String {
    signed(account, scope, None, seconds)
}

/// A token with `role: operator`, valid for ten minutes.
pub fn operator_token(account: &str, scope: &str) -> String {
    signed(account, scope, Some("operator"), 600)
}

fn signed(account: &str, scope: &str, role: Option<&str>, seconds: i64) -> String {
    let account_id = AccountId::new(account).expect("account id");
    let issued_at = Timestamp::now();
    let expires_at = issued_at.saturating_add_micros(seconds * SECOND);
    let (scope, role) = (scope.to_owned(), role.map(str::to_owned));
    KEYS.signer.sign(&Claims { account_id, scope, role, issued_at, expires_at })
}

fn config_for(database: &str) -> Config {
    let engines = engines();
    let postgres = &engines.postgres;
    let mut config = Config::from_env().expect("defaults");
    config.http.listen = "127.0.0.1:0".parse().expect("address");
    config.http.management_listen = config.http.listen;
    config.http.metrics_port = None;
    config.auth.jwt_jwks = Some(KEYS.jwks.clone());
    config.auth.jwt_issuer = ISSUER.into();
    config.database.database_url = Some(Secret::new(postgres.login(Login::Api, database)));
    config.database.database_worker_url = Some(Secret::new(postgres.login(Login::Worker, database)));
    config.redis.redis_url = Some(Secret::new(engines.redis.url()));
    config.redis.redis_prefix = database.to_owned();
    config.kafka.kafka_server = engines.kafka.bootstrap();
    config.kafka.kafka_topic = format!("{}.events", unique("topic"));
    config.kafka.kafka_dead_letter_topic = format!("{database}.dead-letters");
    config.kafka.kafka_group = format!("{database}-worker");
    config.kafka.kafka_partitions = 2;
    // Only tests that break an engine may call it away: on a busy machine an answer can take longer than the defaults.
    config.kafka.kafka_ack_timeout_ms = 10_000;
    config.kafka.kafka_stall_ms = 5_000;
    config.redis.redis_timeout_ms = 2_000;
    config
}
