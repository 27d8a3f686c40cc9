//! Starts real engines, breaks each in turn and looks whether it comes back as the same one.

use std::{path::PathBuf, time::Duration};

use weir_local::{EngineOptions, Engines, Lifetime, Login};

/// A directory that is gone when the test ends, however it ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

const SOON: Duration = Duration::from_millis(700);

#[test]
fn engines_survive_what_is_done_to_them() {
    let scratch = Scratch(std::env::temp_dir().join(format!("weir-local-engines-{}", std::process::id())));
    let options = EngineOptions { durable: true, ..EngineOptions::default() };
    let engines = Engines::start(&scratch.0, &options).expect("engines start");

    postgres_keeps_its_data(&engines);
    redis_comes_back_empty_on_its_port(&engines);
    kafka_comes_back_on_its_port(&engines);

    engines.stop().expect("engines stop");
    assert!(!engines.postgres.is_running() && !engines.redis.is_running() && !engines.kafka.is_running());
    let bootstrap = engines.kafka.bootstrap();
    let database = engines.postgres.login(Login::Api, "weir");
    drop(engines);

    let again = Engines::start(&scratch.0, &options).expect("engines start again");
    assert_eq!(again.kafka.bootstrap(), bootstrap, "the directory remembers its ports");
    assert_eq!(again.postgres.login(Login::Api, "weir"), database, "and its passwords");
    assert_eq!(again.postgres.psql("weir", "SELECT count(*) FROM kept").expect("data").trim(), "1");

    // Taken over rather than started twice, as the second `make up` does.
    let other = Engines::start(&scratch.0, &EngineOptions { lifetime: Lifetime::Detached, ..options });
    assert_eq!(other.expect("engines are taken over").postgres.pid(), again.postgres.pid());
    assert!(again.postgres.is_running(), "a handle that did not start an engine leaves it running");
}

fn postgres_keeps_its_data(engines: &Engines) {
    let postgres = &engines.postgres;
    postgres.create_database("weir").expect("database");
    postgres.psql("weir", "CREATE TABLE kept AS SELECT 1").expect("table");
    let owner = postgres.psql("weir", "SELECT datdba::regrole FROM pg_database WHERE datname = 'weir'");
    assert_eq!(owner.expect("owner").trim(), "weir_migrate");
    let logins = "SELECT rolname, rolbypassrls, rolsuper FROM pg_roles WHERE rolname LIKE 'weir%' ORDER BY 1";
    let logins = postgres.psql("weir", logins).expect("logins");
    assert_eq!(logins.trim(), "weir_api|f|f\nweir_migrate|f|f\nweir_worker|t|f");

    let (pid, port) = (postgres.pid(), postgres.port());
    postgres.pause();
    assert!(postgres.is_running());
    assert!(postgres.wait_ready(SOON).is_err(), "a paused Postgres does not answer");
    postgres.resume();
    postgres.wait_ready(Duration::from_secs(10)).expect("resumed");

    postgres.kill().expect("killed");
    assert!(!postgres.is_running());
    let error = postgres.wait_ready(SOON).expect_err("a killed Postgres does not answer").to_string();
    assert!(error.contains("database system is ready"), "the error quotes the log: {error}");
    postgres.start().expect("recovered");
    assert_ne!(postgres.pid(), pid);
    assert_eq!(postgres.port(), port);
    assert_eq!(postgres.psql("weir", "SELECT count(*) FROM kept").expect("data").trim(), "1");

    postgres.create_database_from("weir", "copy").expect("copied");
    assert_eq!(postgres.psql("copy", "SELECT count(*) FROM kept").expect("data").trim(), "1");
    postgres.drop_database("copy").expect("dropped");
}

fn redis_comes_back_empty_on_its_port(engines: &Engines) {
    let redis = &engines.redis;
    let (pid, url) = (redis.pid(), redis.url());
    redis.pause();
    assert!(redis.wait_ready(SOON).is_err(), "a paused Redis does not answer");
    redis.resume();
    redis.wait_ready(Duration::from_secs(5)).expect("resumed");
    redis.kill().expect("killed");
    assert!(!redis.is_running());
    redis.start().expect("started again");
    assert_ne!(redis.pid(), pid);
    assert_eq!(redis.url(), url);
    redis.stop().expect("stopped while it runs");
    redis.start().expect("started after a stop");
}

fn kafka_comes_back_on_its_port(engines: &Engines) {
    let (kafka, broker) = (&engines.kafka, engines.kafka.broker(0));
    let (pid, bootstrap) = (broker.pid(), kafka.bootstrap());
    broker.pause();
    assert!(broker.is_running());
    broker.resume();
    broker.wait_ready(Duration::from_secs(5)).expect("resumed");
    broker.kill().expect("killed");
    assert!(!kafka.is_running());
    assert!(broker.wait_ready(SOON).is_err(), "a killed broker does not answer");
    broker.start().expect("started again");
    assert_ne!(broker.pid(), pid);
    assert_eq!(kafka.bootstrap(), bootstrap);
}
