//! Live streams. Invariant: neither their number nor their age is without a bound.
//!
//! `WEIR_STREAMS`, `WEIR_STREAMS_PER_ACCOUNT`, `WEIR_STREAM_SECONDS`, `WEIR_STREAM_HEARTBEAT_SECONDS`.

/// Bounds of live streams.
#[derive(Debug, Clone, clap::Args)]
pub struct StreamConfig {
    /// Most live streams of this process
    #[arg(long, env = "WEIR_STREAMS", default_value_t = 1_000, value_name = "N")]
    pub streams: usize,
    /// Most live streams of one account in this process
    #[arg(long, env = "WEIR_STREAMS_PER_ACCOUNT", default_value_t = 10, value_name = "N")]
    pub streams_per_account: usize,
    /// Seconds after which a stream ends; the client resumes with the id of its last frame
    #[arg(long, env = "WEIR_STREAM_SECONDS", default_value_t = 1_800, value_name = "S")]
    pub stream_seconds: u64,
    /// Seconds between two signs of life on a stream
    #[arg(long, env = "WEIR_STREAM_HEARTBEAT_SECONDS", default_value_t = 15, value_name = "S")]
    pub stream_heartbeat_seconds: u64,
}

impl StreamConfig {
    pub(super) fn check(&self, mistakes: &mut Vec<String>) {
        if !(1..=100_000).contains(&self.streams) {
            mistakes.push("WEIR_STREAMS must be 1 to 100000".into());
        }
        if !(1..=self.streams).contains(&self.streams_per_account) {
            mistakes.push("WEIR_STREAMS_PER_ACCOUNT must be 1 to WEIR_STREAMS".into());
        }
        if !(10..=86_400).contains(&self.stream_seconds) {
            mistakes.push("WEIR_STREAM_SECONDS must be 10 to 86400".into());
        }
        if !(1..=60).contains(&self.stream_heartbeat_seconds) {
            mistakes.push("WEIR_STREAM_HEARTBEAT_SECONDS must be 1 to 60".into());
        }
    }
}
