//! One scenario from start to verdict. Steps: private stack → load → the fault → load again → stop → audit → checks. Invariant:
//! the auditor judges every scenario; checks on answers come on top.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use weir::domain::time::Timestamp;

use super::vitals::Vitals;
use super::weather::Weather;
use crate::audit::{Audit, Ledger, Scope, Verdict};
use crate::generate::{self, Mix, Pace, Plan, Profile, Report, Running, Schedule};
use crate::say;
use crate::stack::{Service, Stack};

/// How a scenario is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The binary under test.
    pub weir: PathBuf,
    /// Requests a second throughout.
    pub rate: f64,
    /// Events of a batch; singles when absent.
    pub batch: Option<u32>,
    /// Seconds an outage lasts.
    pub outage: u64,
    /// Whether to leave logs and journals when it goes wrong.
    pub keep: bool,
}

/// One expectation beyond the auditor's.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// Whether it held.
    pub held: bool,
}

/// The end of a scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Name of the scenario.
    pub scenario: String,
    /// All promises kept, all checks held.
    pub passed: bool,
    /// The checks.
    pub checks: Vec<Check>,
    /// The auditor's word.
    pub verdict: Verdict,
    /// What the clients saw.
    pub report: Report,
}

/// A scenario under way.
pub struct Trial {
    /// What is tormented.
    pub stack: Stack,
    scenario: String,
    keep: bool,
    /// Gone once the load has ended.
    running: Option<Running>,
    journal: PathBuf,
    checks: Vec<Check>,
}

impl Trial {
    /// Starts the stack and the load.
    ///
    /// # Errors
    /// When the stack does not come up.
    pub fn start(scenario: &str, settings: &Settings) -> anyhow::Result<Self> {
        say(format_args!("== {scenario}: starting private engines and the service"));
        // The load comes from one address and few accounts: limits are not what is tried here.
        let stack = Stack::start(&settings.weir, &[])?;
        stack.serve()?;
        let journal = stack.file("journal");
        let plan = Plan {
            peer: stack.address(),
            pace: Pace::Open(Schedule::new(Profile::Soak, settings.rate, 48 * 3_600, u64::MAX)),
            mix: Mix::Zipf,
            accounts: 16,
            batch: settings.batch,
            connections: 1_000,
            retries: 20,
            timeout: Duration::from_secs(17),
            journal: Some(journal.clone()),
        };
        let running = generate::start(plan, &stack.signer()?)?;
        Ok(Self {
            stack,
            scenario: scenario.to_owned(),
            keep: settings.keep,
            running: Some(running),
            journal,
            checks: Vec::new(),
        })
    }

    /// Lets time pass under load.
    pub fn wait(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    /// Events accepted so far.
    pub fn accepted(&self) -> u64 {
        self.running.as_ref().map_or(0, Running::accepted)
    }

    /// What a process of the service holds now.
    ///
    /// # Errors
    /// When it is gone.
    pub fn vitals(&self, service: &Service) -> anyhow::Result<Vitals> {
        let vitals = service.pid().and_then(Vitals::of);
        vitals.with_context(|| format!("a process of the service is gone; the end of its log:\n{}", service.log_tail()))
    }

    /// The wall clock, as the journal counts.
    pub fn now(&self) -> i64 {
        Timestamp::now().micros()
    }

    /// Notes an expectation.
    pub fn check(&mut self, held: bool, expected: impl Into<String>, seen: impl Into<String>) {
        let check = Check { expected: expected.into(), seen: seen.into(), held };
        self.checks.push(check);
    }

    /// Ends the load, waits for the worker and judges; `look` adds checks on what the clients saw.
    ///
    /// # Errors
    /// When there is nothing to judge by.
    pub fn finish(mut self, look: impl FnOnce(&mut Self, &Weather)) -> anyhow::Result<Outcome> {
        say(format_args!("   load ends ({} events accepted), waiting for the worker to catch up", self.accepted()));
        let report = self.running.take().context("the load has ended before")?.finish()?;
        let weather = Weather::new(Ledger::read(&[&self.journal])?.tries());
        look(&mut self, &weather);
        let verdict = Audit {
            journals: vec![self.journal.clone()],
            database_url: self.stack.admin_url(),
            scope: Scope::Everything,
            patience: Duration::from_secs(60),
            deadline: Duration::from_secs(15),
        }
        .run()?;
        let passed = verdict.clean && self.checks.iter().all(|check| check.held);
        if !passed && self.keep {
            say(format_args!("   kept for inspection: {}", self.stack.keep().display()));
        }
        let Self { stack, scenario, checks, .. } = self;
        stack.stop()?;
        let outcome = Outcome { scenario, passed, checks, verdict, report };
        say(format_args!("{outcome}"));
        Ok(outcome)
    }
}

impl Outcome {
    /// What did not hold, in words.
    pub fn broken(&self) -> Vec<String> {
        let found = self.verdict.findings.deviations().into_iter().filter(|(_, deviation)| deviation.count > 0);
        let found =
            found.map(|(name, deviation)| format!("{name}: {}, {}", deviation.count, deviation.examples.join(" | ")));
        let missed = self.checks.iter().filter(|check| !check.held);
        found.chain(missed.map(|check| format!("{}: {}", check.expected, check.seen))).collect()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.report)?;
        writeln!(f, "{}", self.verdict)?;
        for Check { expected, seen, held } in &self.checks {
            writeln!(f, "  {} {expected}: {seen}", if *held { "ok  " } else { "FAIL" })?;
        }
        write!(f, "== {}: {}", self.scenario, if self.passed { "passed" } else { "FAILED" })
    }
}
