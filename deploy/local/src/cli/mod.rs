//! The subcommands. Invariant: each finds everything in the one directory given by `--dir`.

mod bench;
mod client;
mod demo;
mod down;
mod environment;
mod install;
mod out;
mod packages;
mod redis;
mod server;
mod status;
mod up;
mod weir;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Weir with engines of its own on this machine.
#[derive(Debug, Parser)]
#[command(name = "weir-local", version)]
struct Cli {
    /// Where data, ports, passwords, logs and process files are kept.
    #[arg(long, global = true, default_value = ".weir")]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything, send one event, say what to try next.
    Up,
    /// Stop what `up` started; data stay.
    Down {
        /// Remove the data too.
        #[arg(long)]
        data: bool,
    },
    /// Show what runs.
    Status,
    /// Install what is missing of Postgres, Redis, Java and the jars of Kafka.
    Install,
    /// Run engines of their own until this process ends.
    Engines(bench::Engines),
    /// Run a Redis cluster of three masters, or a master with replica and sentinel, until this process ends.
    Redis(redis::RedisArgs),
    /// Print an access token and nothing else.
    Token(weir::TokenArgs),
    /// Ask whether the service lives.
    Health,
    /// Ask whether the service can take events.
    Ready,
    /// Send one event.
    TestEvent,
    /// Ask for the metrics of the events sent.
    TestMetrics,
}

/// Runs the subcommand on the command line.
pub(crate) fn run() -> Result<()> {
    let Cli { dir, command } = Cli::parse();
    match command {
        Command::Up => up::run(&dir),
        Command::Down { data } => down::run(&dir, data),
        Command::Status => status::run(&dir),
        Command::Install => install::run(&dir),
        Command::Engines(args) => bench::run(&dir, &args),
        Command::Redis(args) => redis::run(&dir, &args),
        Command::Token(args) => weir::print_token(&dir, &args),
        Command::Health => demo::probe(&dir, "/health"),
        Command::Ready => demo::probe(&dir, "/ready"),
        Command::TestEvent => demo::test_event(&dir),
        Command::TestMetrics => demo::test_metrics(&dir),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
