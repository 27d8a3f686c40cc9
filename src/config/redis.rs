//! Redis: a helper that may vanish. Invariant: nothing here is needed to accept an event.
//!
//! `REDIS_URL` (or `_FILE`), `WEIR_REDIS_MODE`, `WEIR_REDIS_SENTINEL_MASTER`, `WEIR_REDIS_SENTINEL_PASSWORD` (or `_FILE`),
//! `WEIR_REDIS_PREFIX`, `WEIR_REDIS_TIMEOUT_MS`.

use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;

/// How Redis is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RedisMode {
    /// One server
    Server,
    /// Redis Cluster; REDIS_URL names some of its nodes
    Cluster,
    /// A master with replicas; REDIS_URL names the sentinels
    Sentinel,
}

/// Address, key prefix and deadline.
#[derive(Debug, Clone, clap::Args)]
pub struct RedisConfig {
    /// Redis address; several, comma-separated, for a cluster or sentinels
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<Secret>,
    /// File that holds REDIS_URL
    #[arg(long, env = "REDIS_URL_FILE", value_name = "PATH")]
    pub redis_url_file: Option<PathBuf>,
    /// How Redis is kept
    #[arg(long, env = "WEIR_REDIS_MODE", value_enum, default_value_t = RedisMode::Server, value_name = "MODE")]
    pub redis_mode: RedisMode,
    /// Name under which the sentinels know the master
    #[arg(long, env = "WEIR_REDIS_SENTINEL_MASTER", default_value = "mymaster", value_name = "NAME")]
    pub redis_sentinel_master: String,
    /// Password of the sentinels themselves; user and password in REDIS_URL are for the servers
    #[arg(long, env = "WEIR_REDIS_SENTINEL_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub redis_sentinel_password: Option<Secret>,
    /// File that holds WEIR_REDIS_SENTINEL_PASSWORD
    #[arg(long, env = "WEIR_REDIS_SENTINEL_PASSWORD_FILE", value_name = "PATH")]
    pub redis_sentinel_password_file: Option<PathBuf>,
    /// First part of every key
    #[arg(long, env = "WEIR_REDIS_PREFIX", default_value = "weir", value_name = "TEXT")]
    pub redis_prefix: String,
    /// Milliseconds a cache command may take before it counts as a miss
    #[arg(long, env = "WEIR_REDIS_TIMEOUT_MS", default_value_t = 50, value_name = "MS")]
    pub redis_timeout_ms: u64,
}

impl RedisConfig {
    /// How long a command may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.redis_timeout_ms)
    }

    pub(super) fn resolve(&mut self, mistakes: &mut Vec<String>) {
        match Secret::resolve("REDIS_URL", self.redis_url.as_ref(), self.redis_url_file.take().as_deref()) {
            Ok(secret) => self.redis_url = secret,
            Err(mistake) => mistakes.push(mistake),
        }
        let password = Secret::resolve(
            "WEIR_REDIS_SENTINEL_PASSWORD",
            self.redis_sentinel_password.as_ref(),
            self.redis_sentinel_password_file.take().as_deref(),
        );
        match password {
            Ok(secret) => self.redis_sentinel_password = secret,
            Err(mistake) => mistakes.push(mistake),
        }
        let addresses: Vec<&str> =
            self.redis_url.iter().flat_map(|url| url.expose().split(',')).map(str::trim).collect();
        if addresses.iter().any(|address| !address.starts_with("redis")) {
            mistakes.push("REDIS_URL must be a redis:// URL, or several separated by commas".into());
        }
        if addresses.len() > 1 && self.redis_mode == RedisMode::Server {
            mistakes.push("REDIS_URL names several servers: set WEIR_REDIS_MODE to cluster or sentinel".into());
        }
        if !(1..=10_000).contains(&self.redis_timeout_ms) {
            mistakes.push("WEIR_REDIS_TIMEOUT_MS must be 1 to 10000".into());
        }
    }
}
