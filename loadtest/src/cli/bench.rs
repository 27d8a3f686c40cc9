//! `bench`: processor time per event on a private stack.

use std::path::PathBuf;
use std::time::Duration;

use crate::bench::{Drain, Ingest, Measured, Observed, Ratio, Spread, empty_backlog, interleave};
use crate::say;
use crate::stack::{Stack, weir_binary};

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// What to measure
    #[arg(value_enum, default_value_t = What::All)]
    what: What,
    /// The binary under test; `weir` beside this one when absent (`cargo build --release` for figures that count)
    #[arg(long, value_name = "FILE")]
    weir: Option<PathBuf>,
    /// Rounds that count, after one that warms up
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: u32,
    /// Seconds of a round
    #[arg(long, default_value_t = 5, value_name = "S")]
    seconds: u64,
    /// Connections that send
    #[arg(long, default_value_t = 64, value_name = "N")]
    connections: usize,
    /// Events of a round of `drain`
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    events: u64,
    /// A variable for the service, `NAME=VALUE`
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    variables: Vec<(String, String)>,
    /// File for the figures
    #[arg(long, default_value = "loadtest/out/bench.json", value_name = "FILE")]
    json: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Single posts
    Single,
    /// Batches of 100
    Batch,
    /// The worker on a full topic
    Drain,
    /// The door with and without logs, levels of service and traces
    Observed,
    /// All of them but the last
    All,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("NAME=VALUE is needed".to_owned()),
    }
}

impl BenchArgs {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        if self.what == What::Observed {
            return self.observed();
        }
        let stack = Stack::start(&weir_binary(self.weir.clone())?, &self.variables)?;
        stack.api.start()?;
        stack.api.wait_ready()?;
        let mut measured = Vec::new();
        if self.what != What::Drain {
            let arm = |name: &str, batch| Ingest {
                stack: &stack,
                name: name.to_owned(),
                batch,
                connections: self.connections,
                run_for: Duration::from_secs(self.seconds),
            };
            let (mut single, mut batch) = (arm("single", None), arm("batch of 100", Some(100)));
            measured = match self.what {
                What::Single => interleave(&mut [&mut single], self.rounds)?,
                What::Batch => interleave(&mut [&mut batch], self.rounds)?,
                _ => interleave(&mut [&mut single, &mut batch], self.rounds)?,
            };
        }
        if matches!(self.what, What::Drain | What::All) {
            empty_backlog(&stack)?;
            measured.extend(interleave(&mut [&mut Drain { stack: &stack, events: self.events }], self.rounds)?);
        }
        stack.stop()?;
        measured.iter().for_each(print);
        super::write_json(&self.json, &measured)?;
        Ok(true)
    }
}

impl BenchArgs {
    fn observed(self) -> anyhow::Result<bool> {
        let (connections, rounds) = (self.connections, self.rounds);
        let observed = Observed { rounds, run_for: Duration::from_secs(self.seconds), connections };
        let (measured, ratios) = observed.run(&weir_binary(self.weir.clone())?, &self.variables)?;
        measured.iter().for_each(print);
        for Ratio { load, ratio } in ratios {
            say(format_args!("{load}: told / silent = {ratio:.3} in processor time of the API"));
        }
        super::write_json(&self.json, &measured)?;
        Ok(true)
    }
}

fn print(measured: &Measured) {
    let Spread { median, min, max } = measured.rate;
    say(format_args!("{}: {median:.0} events/s ({min:.0} to {max:.0})", measured.arm));
    for (component, Spread { median, min, max }) in &measured.micros_per_event {
        say(format_args!("  {component:<12}{median:>9.2} us an event ({min:.2} to {max:.2})"));
    }
    let storing = [measured.micros("worker"), measured.micros("postgres")];
    if let ("drain", [Some(worker), Some(postgres)]) = (measured.arm.as_str(), storing) {
        let rows = |micros: f64| if micros > 0.0 { 1_000_000.0 / micros } else { 0.0 };
        say(format_args!("  rows a second of the worker's processor time: {:.0}", rows(worker.median)));
        say(format_args!(
            "  rows a second of worker and Postgres together: {:.0}",
            rows(worker.median + postgres.median)
        ));
    }
}
