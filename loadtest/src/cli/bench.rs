//! `bench`: processor time per event on a private stack.

use std::path::PathBuf;

use super::turns::Turns;
use crate::bench::{
    Drain, Flushed, Ingest, Judged, Measured, Observed, Ratio, Refusals, Spread, empty_backlog, flushes, interleave,
    judged,
};
use crate::say;
use crate::stack::Stack;

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// What to measure
    #[arg(value_enum, default_value_t = What::All)]
    what: What,
    #[command(flatten)]
    turns: Turns,
    /// Accounts of a round of `flush`
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    accounts: usize,
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
    /// Judging an event beside a parse of the same bytes, in this process; 100 turns of 4 ms a round
    Judge,
    /// Requests that are refused, before or after their bodies, beside one that is accepted
    Refused,
    /// Levels of service of very many accounts on their way to Postgres
    Flush,
    /// The first three
    All,
}

impl BenchArgs {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        match self.what {
            What::Observed => return self.observed(),
            What::Judge => return self.judge(),
            What::Refused => return self.refused(),
            What::Flush => return self.flush(),
            _ => {}
        }
        let stack = Stack::start(&self.turns.weir()?, &self.turns.variables)?;
        stack.api.start()?;
        stack.api.wait_ready()?;
        let mut measured = Vec::new();
        if self.what != What::Drain {
            let arm = |name: &str, batch| Ingest {
                stack: &stack,
                name: name.to_owned(),
                batch,
                connections: self.turns.connections,
                run_for: self.turns.run_for(),
            };
            let (mut single, mut batch) = (arm("single", None), arm("batch of 100", Some(100)));
            measured = match self.what {
                What::Single => interleave(&mut [&mut single], self.turns.rounds)?,
                What::Batch => interleave(&mut [&mut batch], self.turns.rounds)?,
                _ => interleave(&mut [&mut single, &mut batch], self.turns.rounds)?,
            };
        }
        if matches!(self.what, What::Drain | What::All) {
            empty_backlog(&stack)?;
            measured
                .extend(interleave(&mut [&mut Drain { stack: &stack, events: self.turns.events }], self.turns.rounds)?);
        }
        stack.stop()?;
        measured.iter().for_each(print);
        super::write_json(&self.json, &measured)?;
        Ok(true)
    }
}

/// Most that lint and validation may cost, as a share of a borrowed parse.
const JUDGING: f64 = 1.2;

impl BenchArgs {
    fn judge(self) -> anyhow::Result<bool> {
        let figures = judged(100 * self.turns.rounds as usize)?;
        for Judged { event, bytes, parse_ns, lint_ns, judge_ns, refuse_ns, ratio } in &figures {
            let [parse, lint, judge, refuse] = [parse_ns, lint_ns, judge_ns, refuse_ns].map(|spread| spread.min);
            say(format_args!(
                "{event} ({bytes} bytes): parse {parse:.0} ns, lint {lint:.0}, judge {judge:.0}, refuse {refuse:.0}"
            ));
            say(format_args!("  lint and validation / parse = {ratio:.2} (at most {JUDGING})"));
        }
        super::write_json(&self.json, &figures)?;
        Ok(figures.iter().all(|figure| figure.ratio <= JUDGING))
    }

    fn refused(self) -> anyhow::Result<bool> {
        let (connections, rounds) = (self.turns.connections, self.turns.rounds);
        let refusals = Refusals { rounds, run_for: self.turns.run_for(), connections };
        let measured = refusals.run(&self.turns.weir()?, &self.turns.variables, "")?;
        measured.iter().for_each(print);
        super::write_json(&self.json, &measured)?;
        let mut held = true;
        for (arm, ratio) in Refusals::ratios(&measured) {
            held &= ratio < 1.0;
            say(format_args!("{arm:<22} / accepted alike = {ratio:.2} in processor time of the API"));
        }
        Ok(held)
    }

    fn observed(self) -> anyhow::Result<bool> {
        let (connections, rounds) = (self.turns.connections, self.turns.rounds);
        let observed = Observed { rounds, run_for: self.turns.run_for(), connections };
        let (measured, ratios) = observed.run(&self.turns.weir()?, &self.turns.variables)?;
        measured.iter().for_each(print);
        for Ratio { load, ratio } in ratios {
            say(format_args!("{load}: told / silent = {ratio:.3} in processor time of the API"));
        }
        super::write_json(&self.json, &measured)?;
        Ok(true)
    }
}

impl BenchArgs {
    fn flush(self) -> anyhow::Result<bool> {
        let stack = Stack::start(&self.turns.weir()?, &self.turns.variables)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let flushed = runtime.block_on(flushes(&stack, self.accounts, self.turns.rounds))?;
        stack.stop()?;
        for Flushed { what, rows, seconds, rows_per_second, own_cpu_ms, postgres_cpu_ms, .. } in &flushed {
            say(format_args!(
                "{rows} {what}: {seconds:.2} s, {rows_per_second:.0} rows/s, CPU {own_cpu_ms} ms here and {postgres_cpu_ms} ms in Postgres"
            ));
        }
        super::write_json(&self.json, &flushed)?;
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
