//! Postgres: one login a purpose. Invariant: the API never holds a login that can read across accounts.
//!
//! `DATABASE_URL` (API), `DATABASE_READ_URL`, `DATABASE_WORKER_URL`, `DATABASE_MIGRATE_URL`, each with `_FILE`; `WEIR_DB_*`, `WEIR_RETENTION_DAYS`.

use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;

/// Logins, pool sizes and deadlines.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseConfig {
    /// Login of the API: under row-level security
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<Secret>,
    /// File that holds DATABASE_URL
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "PATH")]
    pub database_url_file: Option<PathBuf>,
    /// The API's login on a read replica: reads go there, and to DATABASE_URL while it is away
    #[arg(long, env = "DATABASE_READ_URL", value_name = "URL", hide_env_values = true)]
    pub database_read_url: Option<Secret>,
    /// File that holds DATABASE_READ_URL
    #[arg(long, env = "DATABASE_READ_URL_FILE", value_name = "PATH")]
    pub database_read_url_file: Option<PathBuf>,
    /// Login of the worker: bypasses row-level security, serves no HTTP
    #[arg(long, env = "DATABASE_WORKER_URL", value_name = "URL", hide_env_values = true)]
    pub database_worker_url: Option<Secret>,
    /// File that holds DATABASE_WORKER_URL
    #[arg(long, env = "DATABASE_WORKER_URL_FILE", value_name = "PATH")]
    pub database_worker_url_file: Option<PathBuf>,
    /// Login of `weir migrate`: owns the schema
    #[arg(long, env = "DATABASE_MIGRATE_URL", value_name = "URL", hide_env_values = true)]
    pub database_migrate_url: Option<Secret>,
    /// File that holds DATABASE_MIGRATE_URL
    #[arg(long, env = "DATABASE_MIGRATE_URL_FILE", value_name = "PATH")]
    pub database_migrate_url_file: Option<PathBuf>,
    /// Most connections of the API
    #[arg(long, env = "WEIR_DB_API_CONNECTIONS", default_value_t = 16, value_name = "N")]
    pub db_api_connections: u32,
    /// Milliseconds a read may take in Postgres
    #[arg(long, env = "WEIR_DB_READ_TIMEOUT_MS", default_value_t = 5_000, value_name = "MS")]
    pub db_read_timeout_ms: u64,
    /// Milliseconds a write batch may take in Postgres
    #[arg(long, env = "WEIR_DB_WRITE_TIMEOUT_MS", default_value_t = 10_000, value_name = "MS")]
    pub db_write_timeout_ms: u64,
    /// Days events are kept, five years by default; older ones are refused at the door
    #[arg(long, env = "WEIR_RETENTION_DAYS", default_value_t = 1_825, value_name = "DAYS")]
    pub retention_days: u32,
}

impl DatabaseConfig {
    /// How long a read may take, pool wait included.
    pub fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.db_read_timeout_ms)
    }

    /// How long a write batch may take, pool wait included.
    pub fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.db_write_timeout_ms)
    }

    pub(super) fn resolve(&mut self, mistakes: &mut Vec<String>) {
        let pairs = [
            ("DATABASE_URL", &mut self.database_url, self.database_url_file.take()),
            ("DATABASE_READ_URL", &mut self.database_read_url, self.database_read_url_file.take()),
            ("DATABASE_WORKER_URL", &mut self.database_worker_url, self.database_worker_url_file.take()),
            ("DATABASE_MIGRATE_URL", &mut self.database_migrate_url, self.database_migrate_url_file.take()),
        ];
        for (name, secret, file) in pairs {
            match Secret::resolve(name, secret.as_ref(), file.as_deref()) {
                Ok(resolved) => *secret = resolved,
                Err(mistake) => mistakes.push(mistake),
            }
            if secret.as_ref().is_some_and(|url| !url.expose().starts_with("postgres")) {
                mistakes.push(format!("{name} must be a postgres:// URL"));
            }
        }
        for (name, timeout) in [
            ("WEIR_DB_READ_TIMEOUT_MS", self.db_read_timeout_ms),
            ("WEIR_DB_WRITE_TIMEOUT_MS", self.db_write_timeout_ms),
        ] {
            if !(100..=600_000).contains(&timeout) {
                mistakes.push(format!("{name} must be 100 to 600000"));
            }
        }
        if self.db_api_connections == 0 {
            mistakes.push("WEIR_DB_API_CONNECTIONS must be at least 1".into());
        }
    }
}
