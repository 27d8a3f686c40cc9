//! The engines of this test process and the databases on them. Invariant: a test's database is a copy of one migrated template.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::OnceCell;
use weir::config::Secret;
use weir_local::{Engines, Login};

const TEMPLATE: &str = "weir_template";

static TEMPLATE_READY: OnceCell<()> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(1);

/// The shared engines, started by the first test that asks.
pub fn engines() -> &'static Engines {
    weir_local::shared_for_tests(Path::new(env!("CARGO_MANIFEST_DIR")))
}

/// A name no other test of this process has.
pub fn unique(word: &str) -> String {
    format!("{word}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Creates a migrated database and gives its name.
pub async fn create_database() -> String {
    TEMPLATE_READY
        .get_or_init(|| async {
            let url = tokio::task::spawn_blocking(|| {
                let postgres = &engines().postgres;
                postgres.create_database(TEMPLATE).expect("template database");
                postgres.login(Login::Migrate, TEMPLATE)
            })
            .await
            .expect("join");
            weir::store::migrate(&Secret::new(url)).await.expect("migrations");
        })
        .await;
    let name = unique("test");
    let made = name.clone();
    tokio::task::spawn_blocking(move || engines().postgres.create_database_from(TEMPLATE, &made))
        .await
        .expect("join")
        .expect("database from template");
    name
}

/// Fails when somebody still holds a connection, then drops the database.
pub async fn drop_database(name: String) {
    tokio::task::spawn_blocking(move || {
        let postgres = &engines().postgres;
        let sql = format!("select count(*) from pg_stat_activity where datname = '{name}'");
        let held = weir_local::poll(std::time::Duration::from_secs(5), || {
            (postgres.psql("postgres", &sql).expect("count connections").trim() == "0").then_some(())
        });
        assert!(held.is_some(), "connections to {name} are left open");
        postgres.drop_database(&name).expect("drop database");
    })
    .await
    .expect("join");
}
