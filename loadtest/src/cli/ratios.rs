//! `ratios`: the table that `make bench` prints.

use std::path::PathBuf;
use std::time::Duration;

use crate::ratios::{Core, Lengths, Machine, Table};
use crate::say;
use crate::stack::weir_binary;

/// Options of `ratios`.
#[derive(Debug, clap::Args)]
pub(super) struct RatiosArgs {
    /// The binary under test; `weir` beside this one when absent
    #[arg(long, value_name = "FILE")]
    weir: Option<PathBuf>,
    /// Rounds that count, after one that warms up
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: u32,
    /// Seconds of a closed loop
    #[arg(long, default_value_t = 5, value_name = "S")]
    seconds: u64,
    /// Connections that send
    #[arg(long, default_value_t = 64, value_name = "N")]
    connections: usize,
    /// Events of a round of arms that count events and not seconds
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    events: u64,
    /// A variable for the service, `NAME=VALUE`
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = super::bench::pair)]
    variables: Vec<(String, String)>,
    /// File for the table
    #[arg(long, default_value = "loadtest/out/ratios.json", value_name = "FILE")]
    json: PathBuf,
}

impl RatiosArgs {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        let machine = Machine::read();
        let lengths = Lengths {
            rounds: self.rounds.max(1),
            run_for: Duration::from_secs(self.seconds),
            connections: self.connections,
            events: self.events,
        };
        let core = Core::measure(&weir_binary(self.weir)?, &self.variables, lengths)?;
        let table = Table { machine, entries: core.entries().into_iter().collect() };
        say(format_args!("\n{table}"));
        super::write_json(&self.json, &table)?;
        Ok(table.entries.values().all(|entry| entry.verdict != "missed"))
    }
}
