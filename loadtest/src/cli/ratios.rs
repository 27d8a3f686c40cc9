//! `ratios`: the table that `make bench` prints.

use std::path::PathBuf;

use super::turns::Turns;
use crate::ratios::{Core, LEAST_SECONDS, Lengths, Limits, Machine, Peers, Shares, Table, Whale, Whole};
use crate::say;

/// Options of `ratios`.
#[derive(Debug, clap::Args)]
pub(super) struct RatiosArgs {
    #[command(flatten)]
    turns: Turns,
    /// Groups to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Group::Core, Group::Shares, Group::Whole, Group::Limits, Group::Whale])]
    only: Vec<Group>,
    /// What `loadtest/peers/install.sh` filled, for the peers
    #[arg(long, default_value = ".weir/peers", value_name = "DIR")]
    peers: PathBuf,
    /// Singles a second of R22
    #[arg(long, default_value_t = 5_000.0, value_name = "N")]
    peer_rate: f64,
    /// Events a second of R13 and R16
    #[arg(long, default_value_t = 10_000.0, value_name = "N")]
    flow: f64,
    /// Seconds of an arm with or without a whale
    #[arg(long, default_value_t = LEAST_SECONDS, value_name = "S", value_parser = clap::value_parser!(u64).range(LEAST_SECONDS..))]
    whale_seconds: u64,
    /// File for the table
    #[arg(long, default_value = "loadtest/out/ratios.json", value_name = "FILE")]
    json: PathBuf,
}

/// Ratios that share a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    /// The path itself beside its ceilings: R1, R3, R4
    Core,
    /// Gin, FastAPI and Nest doing the same: R20, R21, R22
    Peers,
    /// What being documented, knowing who calls and telling what was done take of a request: R2, R6, R17
    Shares,
    /// From the door to Postgres, and many questions at once: R12, R13, R16
    Whole,
    /// What limits and refusals cost: R5, R9
    Limits,
    /// Small accounts beside a large one: R7, R8
    Whale,
}

impl RatiosArgs {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        let machine = Machine::read();
        let lengths = Lengths {
            rounds: self.turns.rounds.max(1),
            run_for: self.turns.run_for(),
            connections: self.turns.connections,
            events: self.turns.events,
        };
        let (weir, variables) = (self.turns.weir()?, &self.turns.variables);
        let measure = |group: Group| {
            Ok(match group {
                Group::Core => Core::measure(&weir, variables, lengths)?.entries(),
                Group::Peers => Peers::measure(&weir, variables, lengths, &self.peers, self.peer_rate)?.entries(),
                Group::Shares => Shares::measure(&weir, variables, lengths)?.entries(),
                Group::Whole => Whole::measure(&weir, variables, lengths, self.flow)?.entries(),
                Group::Limits => Limits::measure(&weir, variables, lengths)?.entries(),
                Group::Whale => Whale::measure(&weir, variables, lengths.rounds, self.whale_seconds)?.entries(),
            })
        };
        let groups: Vec<_> = self.only.iter().copied().map(measure).collect::<anyhow::Result<_>>()?;
        let table = Table { machine, entries: groups.into_iter().flatten().collect() };
        say(format_args!("\n{table}"));
        super::write_json(&self.json, &table)?;
        Ok(table.entries.values().all(|entry| entry.verdict != "missed"))
    }
}
