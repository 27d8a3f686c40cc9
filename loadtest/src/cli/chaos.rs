//! `chaos`: faults by name. Each scenario prints its verdict; all outcomes go to one file.

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use crate::chaos::{FailPoint, KillRounds, KillSeries, Row, SCENARIOS, Scenario, Settings, Soak, Table};
use crate::say;
use crate::stack::{Role, weir_binary};

/// Options of `chaos`.
#[derive(Debug, clap::Args)]
pub(super) struct Chaos {
    /// The binary under test; `weir` beside this one when absent
    #[arg(long, global = true, value_name = "FILE")]
    weir: Option<PathBuf>,
    /// Requests a second throughout
    #[arg(long, global = true, default_value_t = 200.0, value_name = "N")]
    rate: f64,
    /// Events of a batch; singles when absent
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    batch: Option<u32>,
    /// Seconds an outage lasts
    #[arg(long, global = true, default_value_t = 20, value_name = "S")]
    outage: u64,
    /// An older binary, for the deploy that is torn
    #[arg(long, global = true, value_name = "FILE")]
    older: Option<PathBuf>,
    /// Leave logs and journals in place when it goes wrong
    #[arg(long, global = true)]
    keep: bool,
    /// File for the outcomes
    #[arg(long, global = true, default_value = "loadtest/out/chaos.json", value_name = "FILE")]
    json: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// `kill -9` of one role, round after round
    KillRounds {
        /// Which role; by turns when given more than once
        #[arg(long = "role", value_enum, required = true)]
        roles: Vec<Role>,
        /// How often
        #[arg(long, default_value_t = 20, value_name = "N")]
        rounds: u32,
        /// Let the worker die at this place of its write instead of at a random moment
        #[arg(long, value_enum)]
        fail_point: Option<FailPoint>,
        /// Keep what was done in this file after each part, and go on from there
        #[arg(long, value_name = "FILE")]
        resume: Option<PathBuf>,
        /// Rounds of a part, each on a stack of its own, with --resume
        #[arg(long, default_value_t = 50, value_name = "N")]
        part: u32,
    },
    /// Load for an hour while memory, descriptors and threads are watched
    Soak {
        /// How long, all sittings together
        #[arg(long, default_value_t = 3_600, value_name = "S")]
        seconds: u64,
        /// Seconds between samples
        #[arg(long, default_value_t = 10, value_name = "S")]
        every: u64,
        /// The samples; a soak that was stopped goes on from there
        #[arg(long, default_value = "loadtest/out/soak.json", value_name = "FILE")]
        resume: PathBuf,
    },
    /// Scenarios by name, or `all`
    Run {
        /// Names, see `list`
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Show the scenarios
    List,
}

impl Chaos {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        if let What::List = self.what {
            for Scenario { name, row, about, .. } in SCENARIOS {
                say(format_args!("{name:<20} {row:<4} {about}"));
            }
            return Ok(true);
        }
        let settings = Settings {
            weir: weir_binary(self.weir)?,
            rate: self.rate,
            batch: self.batch,
            outage: self.outage,
            older: self.older,
            keep: self.keep,
        };
        let outcomes = match self.what {
            What::KillRounds { roles, fail_point: Some(_), .. } if roles != [Role::Worker] => {
                bail!("fail points are places of the worker")
            }
            What::KillRounds { roles, rounds, fail_point, resume, part } => {
                let what = KillRounds { roles, rounds, fail_point };
                match resume {
                    Some(path) => return KillSeries::run(&what, part, &path, &settings),
                    None => vec![what.run(&settings)?],
                }
            }
            What::Soak { seconds, every, resume } => return Soak::run(seconds, every, &resume, &settings),
            What::Run { names } => {
                let table = Table::play(&chosen(&names)?, &settings, &self.json)?;
                say(format_args!("\n{table}"));
                return Ok(table.rows.iter().all(Row::is_fine));
            }
            What::List => Vec::new(),
        };
        super::write_json(&self.json, &outcomes)?;
        Ok(outcomes.iter().all(|outcome| outcome.passed))
    }
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Scenario>> {
    if names.iter().any(|name| name == "all") {
        return Ok(SCENARIOS.iter().collect());
    }
    let mut scenarios = Vec::new();
    for name in names {
        match Scenario::by_name(name) {
            Some(scenario) => scenarios.push(scenario),
            None => bail!("no scenario is named {name}; `loadtest chaos list` shows them"),
        }
    }
    Ok(scenarios)
}
