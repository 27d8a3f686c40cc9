//! What operators decide at run time. Invariant: a change reaches every instance within two seconds.
//!
//! `WEIR_OPERATOR_POLL_MS`, `WEIR_SEAL_KEY` or `WEIR_SEAL_KEY_FILE`.

use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;

/// Shortest seal key.
const MIN_KEY: usize = 32;

/// Watching what operators decide, and sealing the secrets among it.
#[derive(Debug, Clone, clap::Args)]
pub struct OperatorConfig {
    /// Milliseconds between looks at whether operators have changed a source, a topic or a quota
    #[arg(long, env = "WEIR_OPERATOR_POLL_MS", default_value_t = 1_000, value_name = "MS")]
    pub operator_poll_ms: u64,
    /// At least 32 characters nobody can guess, the same on every instance: the secrets of sources are sealed with it before
    /// they are stored. Without it there are no sources
    #[arg(long, env = "WEIR_SEAL_KEY", value_name = "SECRET", hide_env_values = true)]
    pub seal_key: Option<Secret>,
    /// File that holds the seal key
    #[arg(long, env = "WEIR_SEAL_KEY_FILE", value_name = "PATH")]
    pub seal_key_file: Option<PathBuf>,
}

impl OperatorConfig {
    /// Time between two looks.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.operator_poll_ms)
    }

    pub(super) fn resolve(&mut self, mistakes: &mut Vec<String>) {
        match Secret::resolve("WEIR_SEAL_KEY", self.seal_key.as_ref(), self.seal_key_file.take().as_deref()) {
            Ok(secret) => self.seal_key = secret,
            Err(mistake) => mistakes.push(mistake),
        }
        if self.seal_key.as_ref().is_some_and(|key| key.expose().len() < MIN_KEY) {
            mistakes.push("WEIR_SEAL_KEY must have at least 32 characters".into());
        }
        if !(100..=2_000).contains(&self.operator_poll_ms) {
            mistakes.push("WEIR_OPERATOR_POLL_MS must be 100 to 2000".into());
        }
    }
}
