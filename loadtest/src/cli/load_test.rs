//! `load-test`: what `make load-test` runs. Singles, then the ramp in batches, then the audit of both.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::audit::{Audit, Scope, Verdict};
use crate::cpu::{self, Usage};
use crate::generate::{self, Mix, Pace, Plan, Profile, Report, Schedule};
use crate::stack::Target;
use crate::{say, scratch};

/// Options of `load-test`.
#[derive(Debug, clap::Args)]
pub(super) struct LoadTest {
    /// Directory of `make up`
    #[arg(long, default_value = ".weir", value_name = "DIR")]
    dir: PathBuf,
    /// Single events a second
    #[arg(long, default_value_t = 2_000.0, value_name = "N")]
    singles: f64,
    /// Events a second at the top of the ramp, in batches of 100; it starts at a tenth
    #[arg(long, default_value_t = 20_000.0, value_name = "N")]
    peak: f64,
    /// Seconds of each of the two parts
    #[arg(long, default_value_t = 12, value_name = "S")]
    seconds: u64,
    /// File for the result
    #[arg(long, default_value = "loadtest/results.json", value_name = "FILE")]
    json: PathBuf,
    /// Directory for the journals
    #[arg(long, default_value = "loadtest/out", value_name = "DIR")]
    out: PathBuf,
}

/// The load of one part.
#[derive(Debug, Clone, Copy)]
struct Shape {
    name: &'static str,
    profile: Profile,
    rate: f64,
    batch: Option<u32>,
}

/// One part of the run.
#[derive(Debug, Serialize)]
struct Part {
    name: &'static str,
    report: Report,
    cpu_micros: Usage,
    gates: Vec<Gate>,
}

/// A limit of the requirements and what was measured.
#[derive(Debug, Serialize)]
struct Gate {
    what: &'static str,
    limit: f64,
    measured: f64,
    held: bool,
}

/// The file that is written.
#[derive(Debug, Serialize)]
struct Results {
    parts: Vec<Part>,
    audit: Verdict,
    passed: bool,
}

impl LoadTest {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        let target = Target::of(&self.dir)?;
        std::fs::create_dir_all(&self.out)?;
        let journal = self.out.join(format!("load-test-{}.journal", scratch::unique()));
        let singles = Shape { name: "singles", profile: Profile::Steady, rate: self.singles, batch: None };
        let batches =
            Shape { name: "ramp in batches of 100", profile: Profile::Ramp, rate: self.peak, batch: Some(100) };
        let parts = [singles, batches].map(|shape| self.part(shape, &target, &journal));
        let parts = parts.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        say(format_args!("waiting for the worker, then holding every event against the store"));
        let audit = Audit {
            journals: vec![journal.clone()],
            database_url: target.admin_url,
            scope: Scope::Accounts,
            patience: Duration::from_secs(15),
            deadline: Duration::from_secs(15),
        }
        .run()?;
        let passed = audit.clean && parts.iter().flat_map(|part| &part.gates).all(|gate| gate.held);
        let results = Results { parts, audit, passed };
        print(&results);
        super::write_json(&self.json, &results)?;
        if passed {
            // What was found clean needs no second look; a broken promise does.
            std::fs::remove_file(&journal)?;
        }
        Ok(passed)
    }

    fn part(&self, shape: Shape, target: &Target, journal: &Path) -> anyhow::Result<Part> {
        let Shape { name, profile, rate, batch } = shape;
        say(format_args!("{name}: {rate} events/s for {} s", self.seconds));
        let plan = Plan {
            peer: target.address,
            pace: Pace::Open(Schedule::new(profile, rate / f64::from(batch.unwrap_or(1)), self.seconds, u64::MAX)),
            mix: Mix::Uniform,
            accounts: 200,
            batch,
            connections: 128,
            retries: 3,
            timeout: Duration::from_secs(17),
            journal: Some(journal.to_owned()),
        };
        let before = target.meter.read();
        let report = generate::start(plan, &target.signer)?.join()?;
        let cpu_micros = cpu::between(&before, &target.meter.read());
        let gate = |what, measured: f64, limit: f64| Gate { what, limit, measured, held: measured <= limit };
        let gates = vec![
            gate("p95 ms", report.latency.p95_ms, 60.0),
            gate("p99 ms", report.latency.p99_ms, 150.0),
            gate("errors %", report.error_share * 100.0, 1.0),
        ];
        Ok(Part { name, report, cpu_micros, gates })
    }
}

fn print(results: &Results) {
    for Part { name, report, cpu_micros, gates } in &results.parts {
        say(format_args!("\n{name}\n{report}"));
        let events = report.outcomes.accepted.max(1) as f64;
        let shares: Vec<String> =
            cpu_micros.iter().map(|(name, micros)| format!("{name} {:.1}", *micros as f64 / events)).collect();
        say(format_args!("  cpu us/event  {}", shares.join("  ")));
        for Gate { what, limit, measured, held } in gates {
            say(format_args!("  {} {what} {measured:.1} (limit {limit})", if *held { "ok  " } else { "MISS" }));
        }
    }
    say(format_args!("\n{}", results.audit));
}
