//! Questions about events. Invariant: no question may ask Postgres for more than a bounded range.
//!
//! `WEIR_MAX_WINDOW_DAYS`, `WEIR_SUMMARY_CACHE_MIB`.

/// Bounds of questions and of the memory for their answers.
#[derive(Debug, Clone, clap::Args)]
pub struct QueryConfig {
    /// Longest window of a summary
    #[arg(long, env = "WEIR_MAX_WINDOW_DAYS", default_value_t = 92, value_name = "DAYS")]
    pub max_window_days: u32,
    /// Memory for summaries kept for a second in this process
    #[arg(long, env = "WEIR_SUMMARY_CACHE_MIB", default_value_t = 32, value_name = "MIB")]
    pub summary_cache_mib: u32,
}

impl QueryConfig {
    /// Longest window, in seconds.
    pub fn max_window_seconds(&self) -> i64 {
        i64::from(self.max_window_days) * 86_400
    }

    pub(super) fn check(&self, mistakes: &mut Vec<String>) {
        if !(1..=3_660).contains(&self.max_window_days) {
            mistakes.push("WEIR_MAX_WINDOW_DAYS must be 1 to 3660".into());
        }
        if !(1..=4_096).contains(&self.summary_cache_mib) {
            mistakes.push("WEIR_SUMMARY_CACHE_MIB must be 1 to 4096".into());
        }
    }
}
