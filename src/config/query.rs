//! Questions about events. Invariant: no question may ask Postgres for more than a bounded range.
//!
//! `WEIR_MAX_WINDOW_DAYS`, `WEIR_SUMMARY_CACHE_MIB`, `WEIR_SUMMARY_STALE_SECONDS`, `WEIR_READS_PER_ACCOUNT`,
//! `WEIR_FEW_EVENTS`, `WEIR_EXACT_EVENTS`.

/// Bounds of questions and of the memory for their answers.
#[derive(Debug, Clone, clap::Args)]
pub struct QueryConfig {
    /// Longest window of a summary
    #[arg(long, env = "WEIR_MAX_WINDOW_DAYS", default_value_t = 92, value_name = "DAYS")]
    pub max_window_days: u32,
    /// Memory for summaries kept for a second in this process
    #[arg(long, env = "WEIR_SUMMARY_CACHE_MIB", default_value_t = 32, value_name = "MIB")]
    pub summary_cache_mib: u32,
    /// Oldest summary, in seconds, that is still shown (and said to be stale) while Postgres is away
    #[arg(long, env = "WEIR_SUMMARY_STALE_SECONDS", default_value_t = 900, value_name = "S")]
    pub summary_stale_seconds: u64,
    /// Questions of one account that Postgres answers at the same time in this process
    #[arg(long, env = "WEIR_READS_PER_ACCOUNT", default_value_t = 4, value_name = "N")]
    pub reads_per_account: u32,
    /// Most events of a window that is summed up by one look at its events, not by its counts; 0 for never
    #[arg(long, env = "WEIR_FEW_EVENTS", default_value_t = 2_000, value_name = "N")]
    pub few_events: u32,
    /// Most events of a window whose users are counted one by one; above, they are estimated from sketches
    #[arg(long, env = "WEIR_EXACT_EVENTS", default_value_t = 50_000, value_name = "N")]
    pub exact_events: u32,
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
        if !(60..=86_400).contains(&self.summary_stale_seconds) {
            mistakes.push("WEIR_SUMMARY_STALE_SECONDS must be 60 to 86400".into());
        }
        if !(1..=1_000).contains(&self.reads_per_account) {
            mistakes.push("WEIR_READS_PER_ACCOUNT must be 1 to 1000".into());
        }
        if self.few_events > 50_000 {
            mistakes.push("WEIR_FEW_EVENTS must be 0 to 50000".into());
        }
        if !(1_000..=10_000_000).contains(&self.exact_events) {
            mistakes.push("WEIR_EXACT_EVENTS must be 1000 to 10000000".into());
        }
    }
}
