//! `load`: one run of the generator against a service that runs already.

use std::path::PathBuf;
use std::time::Duration;

use crate::cpu;
use crate::generate::{self, Mix, Pace, Plan, Profile, Schedule};
use crate::say;
use crate::stack::Target;

/// Options of `load`.
#[derive(Debug, clap::Args)]
pub(super) struct Load {
    /// Directory of `make up`
    #[arg(long, default_value = ".weir", value_name = "DIR")]
    dir: PathBuf,
    /// Shape of the run
    #[arg(long, value_enum, default_value_t = Profile::Steady)]
    profile: Profile,
    /// Events a second, at the profile's usual height
    #[arg(long, default_value_t = 2_000.0, value_name = "N")]
    rate: f64,
    /// Seconds; the profile's own length when absent
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,
    /// Most requests
    #[arg(long, default_value_t = 100_000_000, value_name = "N")]
    limit: u64,
    /// Events of a batch; singles when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    batch: Option<u32>,
    /// Number of accounts
    #[arg(long, default_value_t = 100, value_name = "N")]
    accounts: usize,
    /// Spread over accounts; the profile's own when absent
    #[arg(long, value_enum)]
    mix: Option<Mix>,
    /// Most requests in the air
    #[arg(long, default_value_t = 256, value_name = "N")]
    connections: usize,
    /// Tries after the first
    #[arg(long, default_value_t = 3, value_name = "N")]
    retries: u32,
    /// Send as fast as answers come instead of by the clock; latencies then hide queueing
    #[arg(long)]
    closed: bool,
    /// Journal to append to; none is kept when absent
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// File for the result
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Load {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        let target = Target::of(&self.dir)?;
        let seconds = self.seconds.unwrap_or(self.profile.default_seconds());
        let requests = self.rate / f64::from(self.batch.unwrap_or(1));
        let whale = self.profile == Profile::WhaleAndMinnows;
        let plan = Plan {
            peer: target.address,
            pace: match self.closed {
                true => Pace::Closed { run_for: Duration::from_secs(seconds) },
                false => Pace::Open(Schedule::new(self.profile, requests, seconds, self.limit)),
            },
            mix: self.mix.unwrap_or(if whale { Mix::Whale } else { Mix::Zipf }),
            accounts: self.accounts,
            batch: self.batch,
            connections: self.connections,
            retries: self.retries,
            timeout: Duration::from_secs(17),
            journal: self.journal,
        };
        let before = target.meter.read();
        let report = generate::start(plan, &target.signer)?.join()?;
        let used = cpu::between(&before, &target.meter.read());
        say(format_args!("{report}"));
        for (component, micros) in &used {
            let each = *micros as f64 / report.outcomes.accepted.max(1) as f64;
            say(format_args!("  cpu {component:<12} {each:>8.1} us an accepted event"));
        }
        if let Some(path) = &self.json {
            super::write_json(path, &serde_json::json!({ "report": report, "cpu_micros": used }))?;
        }
        Ok(report.outcomes.failed == 0)
    }
}
