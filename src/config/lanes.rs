//! When an account changes its lane. Invariant: what the instances allow themselves adds up to no more than the bound.
//!
//! `WEIR_LANE_BACKLOG`, `WEIR_LANE_QUIET_SECONDS`.

use std::time::Duration;

/// When an account changes its lane.
#[derive(Debug, Clone, clap::Args)]
pub struct LaneConfig {
    /// Records of an account that may wait in the standard lane, over all instances; past that it takes the bulk lane
    #[arg(long, env = "WEIR_LANE_BACKLOG", default_value_t = 5_000, value_name = "N")]
    pub lane_backlog: u64,
    /// Seconds an account must have had less than a quarter of that before it is back in the standard lane
    #[arg(long, env = "WEIR_LANE_QUIET_SECONDS", default_value_t = 60, value_name = "S")]
    pub lane_quiet_seconds: u64,
}

impl LaneConfig {
    /// How long an account must have had little waiting.
    pub fn quiet(&self) -> Duration {
        Duration::from_secs(self.lane_quiet_seconds)
    }

    pub(super) fn check(&self, mistakes: &mut Vec<String>) {
        if !(1..=1_000_000_000).contains(&self.lane_backlog) {
            mistakes.push("WEIR_LANE_BACKLOG must be 1 to 1000000000".into());
        }
        if !(1..=86_400).contains(&self.lane_quiet_seconds) {
            mistakes.push("WEIR_LANE_QUIET_SECONDS must be 1 to 86400".into());
        }
    }
}
