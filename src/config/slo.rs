//! Promises and reports about them. Invariant: a file that is named can be used, or the process does not start.
//!
//! `WEIR_SLO_FILE`, `WEIR_SLO_RECORD`, `WEIR_SLO_FLUSH_SECONDS`, `WEIR_SLO_RETENTION_DAYS`, `WEIR_SLO_SIGNING_KEY_FILE`,
//! `WEIR_STATUS_PAGE`.

use std::path::PathBuf;
use std::time::Duration;

/// Objectives, sums and reports.
#[derive(Debug, Clone, clap::Args)]
pub struct SloConfig {
    /// File of objectives; the embedded ones when absent (see `src/slo/objectives.yaml`)
    #[arg(long, env = "WEIR_SLO_FILE", value_name = "PATH")]
    pub slo_file: Option<PathBuf>,
    /// Whether levels of service are summed up for reports
    #[arg(long, env = "WEIR_SLO_RECORD", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub slo_record: bool,
    /// Seconds between two flushes of the sums to Postgres, a tenth more or less
    #[arg(long, env = "WEIR_SLO_FLUSH_SECONDS", default_value_t = 60, value_name = "SECONDS")]
    pub slo_flush_seconds: u64,
    /// Days the sums are kept; a monthly report looks back 120
    #[arg(long, env = "WEIR_SLO_RETENTION_DAYS", default_value_t = 130, value_name = "DAYS")]
    pub slo_retention_days: u32,
    /// Ed25519 key (PEM, PKCS #8) that signs reports; unsigned when absent. Make one with `weir keys` or openssl
    #[arg(long, env = "WEIR_SLO_SIGNING_KEY_FILE", value_name = "PATH")]
    pub slo_signing_key_file: Option<PathBuf>,
    /// Whether `/status` tells the public how the service does
    #[arg(long, env = "WEIR_STATUS_PAGE", default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub status_page: bool,
}

impl SloConfig {
    /// Time between two flushes.
    pub fn flush_every(&self) -> Duration {
        Duration::from_secs(self.slo_flush_seconds)
    }

    pub(super) fn check(&self, mistakes: &mut Vec<String>) {
        if !(1..=600).contains(&self.slo_flush_seconds) {
            mistakes.push("WEIR_SLO_FLUSH_SECONDS must be 1 to 600".into());
        }
        if !(31..=800).contains(&self.slo_retention_days) {
            mistakes.push("WEIR_SLO_RETENTION_DAYS must be 31 to 800".into());
        }
    }
}
