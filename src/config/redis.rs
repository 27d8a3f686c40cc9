//! Redis: a helper that may vanish. Invariant: nothing here is needed to accept an event.
//!
//! `REDIS_URL` (or `_FILE`), `WEIR_REDIS_PREFIX`, `WEIR_REDIS_TIMEOUT_MS`.

use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;

/// Address, key prefix and deadline.
#[derive(Debug, Clone, clap::Args)]
pub struct RedisConfig {
    /// Redis address
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<Secret>,
    /// File that holds REDIS_URL
    #[arg(long, env = "REDIS_URL_FILE", value_name = "PATH")]
    pub redis_url_file: Option<PathBuf>,
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
        if self.redis_url.as_ref().is_some_and(|url| !url.expose().starts_with("redis")) {
            mistakes.push("REDIS_URL must be a redis:// URL".into());
        }
        if !(1..=10_000).contains(&self.redis_timeout_ms) {
            mistakes.push("WEIR_REDIS_TIMEOUT_MS must be 1 to 10000".into());
        }
    }
}
