//! The worker: batches, concurrency and patience. Invariant: memory is bounded by buffers × their size.
//!
//! `WEIR_WORKER_*`; for the kill tests `WEIR_FAIL_POINT`.

use std::time::Duration;

/// Batches, concurrency and patience of the worker.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerConfig {
    /// Write transactions at the same time, each on a connection of its own
    #[arg(long, env = "WEIR_WORKER_CONCURRENCY", default_value_t = 2, value_name = "N")]
    pub worker_concurrency: usize,
    /// Most events of one write
    #[arg(long, env = "WEIR_WORKER_BATCH_EVENTS", default_value_t = 2_000, value_name = "N")]
    pub worker_batch_events: usize,
    /// Most bytes of one write, in KiB
    #[arg(long, env = "WEIR_WORKER_BATCH_KIB", default_value_t = 8_192, value_name = "KIB")]
    pub worker_batch_kib: usize,
    /// Milliseconds a record waits for its batch to fill
    #[arg(long, env = "WEIR_WORKER_BATCH_MS", default_value_t = 50, value_name = "MS")]
    pub worker_batch_ms: u64,
    /// Most memory of records that wait or are being written, in KiB; each partition gets its equal part of it
    #[arg(long, env = "WEIR_WORKER_BUFFER_KIB", default_value_t = 65_536, value_name = "KIB")]
    pub worker_buffer_kib: usize,
    /// Times a record that Postgres refuses is tried alone before it becomes a dead letter
    #[arg(long, env = "WEIR_WORKER_TRIES", default_value_t = 3, value_name = "N")]
    pub worker_tries: u32,
    /// Seconds a stopping worker gets to finish its batch
    #[arg(long, env = "WEIR_WORKER_DRAIN_SECONDS", default_value_t = 10, value_name = "S")]
    pub worker_drain_seconds: u64,
    /// Fewest events of an account in 15 minutes that are sketched, for unique and top users of large windows
    #[arg(long, env = "WEIR_WORKER_SKETCH_EVENTS", default_value_t = 2_000, value_name = "N")]
    pub worker_sketch_events: u32,
    /// Tests only: `after_insert` or `after_commit`, optionally `:n`; the n-th write kills the process there
    #[arg(long, env = "WEIR_FAIL_POINT", value_name = "PLACE", hide = true)]
    pub fail_point: Option<String>,
}

impl WorkerConfig {
    /// How long a record waits for its batch to fill.
    pub fn batch_wait(&self) -> Duration {
        Duration::from_millis(self.worker_batch_ms)
    }

    pub(super) fn check(&self, mistakes: &mut Vec<String>) {
        if !(1..=64).contains(&self.worker_concurrency) {
            mistakes.push("WEIR_WORKER_CONCURRENCY must be 1 to 64".into());
        }
        if !(1..=20_000).contains(&self.worker_batch_events) {
            mistakes.push("WEIR_WORKER_BATCH_EVENTS must be 1 to 20000".into());
        }
        if !(128..=65_536).contains(&self.worker_batch_kib) {
            mistakes.push("WEIR_WORKER_BATCH_KIB must be 128 to 65536".into());
        }
        if !(1_024..=16_777_216).contains(&self.worker_buffer_kib) {
            mistakes.push("WEIR_WORKER_BUFFER_KIB must be 1024 to 16777216".into());
        }
        if !(1..=10_000).contains(&self.worker_batch_ms) {
            mistakes.push("WEIR_WORKER_BATCH_MS must be 1 to 10000".into());
        }
        if !(1..=100).contains(&self.worker_tries) {
            mistakes.push("WEIR_WORKER_TRIES must be 1 to 100".into());
        }
        if !(1..=3600).contains(&self.worker_drain_seconds) {
            mistakes.push("WEIR_WORKER_DRAIN_SECONDS must be 1 to 3600".into());
        }
    }
}
