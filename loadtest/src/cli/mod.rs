//! The command line. Invariant: exit code 0 means that everything that was asked was done and every promise held, 1 that a
//! promise was broken or a gate missed, 2 that the command could not do its work.

mod agree;
mod audit;
mod backlog;
mod bench;
mod ceiling;
mod chaos;
mod clients;
mod load;
mod load_test;
mod producers;
mod ratios;
mod reads;
mod turns;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::say;

/// Offer load to Weir, break things under it, and check what became of every event.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The quick run against `make up`: ramp of singles, ramp of batches, audit, table, results.json
    LoadTest(load_test::LoadTest),
    /// Offer load by a profile to a running service
    Load(load::Load),
    /// Hold journals against the store
    Audit(audit::AuditArgs),
    /// Break things under load, on private engines
    Chaos(chaos::Chaos),
    /// Measure processor time per event, on private engines
    Bench(bench::BenchArgs),
    /// The table of ratios: every arm beside its ceiling, in turns, on private engines
    Ratios(ratios::RatiosArgs),
    /// Whether two runs of `ratios` say the same: each median within the other's least and most
    Agree(agree::AgreeArgs),
    /// One of the ceilings, as a process of its own
    #[command(hide = true, subcommand)]
    Ceiling(ceiling::Ceiling),
    /// What questions cost beside an account of ten million events, on a private stack
    Reads(reads::ReadsArgs),
    /// What a large account's backlog costs small ones, with lanes and without, on private stacks
    Backlog(backlog::BacklogArgs),
    /// Two clients of the log in turns, rdkafka and krafka: what they cost, what becomes of records while brokers fail
    Producers(producers::ProducersArgs),
    /// Live streams read by curl, Chromium and Node across restarts of the API
    Clients(clients::ClientsArgs),
}

/// Runs the command of the command line.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::LoadTest(args) => args.run(),
        Command::Load(args) => args.run(),
        Command::Audit(args) => args.run(),
        Command::Chaos(args) => args.run(),
        Command::Bench(args) => args.run(),
        Command::Ratios(args) => args.run(),
        Command::Agree(args) => args.run(),
        Command::Ceiling(args) => args.run(),
        Command::Reads(args) => args.run(),
        Command::Backlog(args) => args.run(),
        Command::Producers(args) => args.run(),
        Command::Clients(args) => args.run(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            say(format_args!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Writes a result as JSON, its directory included.
fn write_json(path: &Path, value: &impl serde::Serialize) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    let text = serde_json::to_string_pretty(value).context("writing JSON")?;
    std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
    say(format_args!("written: {}", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
