//! One scenario from start to verdict. Steps: private stack → load → the fault → load again → stop → audit → checks. Invariant:
//! the auditor judges every scenario; checks on answers come on top.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use weir::domain::time::Timestamp;

use super::vitals::Vitals;
use super::weather::Weather;
use crate::audit::{Audit, Ledger, Scope, Verdict};
use crate::generate::{self, Mix, Pace, Plan, Profile, Report, Running, Schedule, Signer};
use crate::say;
use crate::stack::{Ground, Service, Stack};

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
    /// An older binary, for the deploy that is torn.
    pub older: Option<PathBuf>,
    /// Whether to leave logs and journals when it goes wrong.
    pub keep: bool,
}

/// One expectation beyond the auditor's.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// What the clients saw, one of each generator.
    pub reports: Vec<Report>,
}

/// A scenario under way.
pub struct Trial {
    /// What is tormented.
    pub stack: Stack,
    scenario: String,
    settings: Settings,
    running: Vec<Running>,
    journals: Vec<PathBuf>,
    checks: Vec<Check>,
    /// Of loads that have ended.
    reports: Vec<Report>,
}

impl Trial {
    /// Starts the stack and the load.
    ///
    /// # Errors
    /// When the stack does not come up.
    pub fn start(scenario: &str, settings: &Settings) -> anyhow::Result<Self> {
        Self::on(scenario, settings, &Ground::default())
    }

    /// The same on a ground of choice.
    ///
    /// # Errors
    /// See [`Trial::start`].
    pub fn on(scenario: &str, settings: &Settings, ground: &Ground) -> anyhow::Result<Self> {
        let mut trial = Self::prepare(scenario, settings, ground)?;
        trial.stack.serve()?;
        trial.load(trial.plan())?;
        Ok(trial)
    }

    /// Starts the engines only.
    ///
    /// # Errors
    /// See [`Trial::start`].
    pub fn prepare(scenario: &str, settings: &Settings, ground: &Ground) -> anyhow::Result<Self> {
        say(format_args!("== {scenario}: starting private engines and the service"));
        let stack = Stack::on(&settings.weir, ground)?;
        let (scenario, settings) = (scenario.to_owned(), settings.clone());
        let (running, journals, checks, reports) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { stack, scenario, settings, running, journals, checks, reports })
    }

    /// The usual load. It comes from one address and few accounts: limits are not what is tried unless a scenario says so.
    pub fn plan(&self) -> Plan {
        Plan {
            peer: self.stack.address(),
            pace: steady(self.settings.rate),
            mix: Mix::Zipf,
            accounts: 16,
            batch: self.settings.batch,
            connections: 1_000,
            retries: 20,
            timeout: Duration::from_secs(17),
            journal: None,
        }
    }

    /// Begins a load, the first or one more.
    ///
    /// # Errors
    /// When its journal cannot be opened.
    pub fn load(&mut self, plan: Plan) -> anyhow::Result<()> {
        let signer = self.stack.signer()?;
        self.load_signed(plan, &signer)
    }

    /// The same with tokens of another key.
    ///
    /// # Errors
    /// See [`Trial::load`].
    pub fn load_signed(&mut self, plan: Plan, signer: &Signer) -> anyhow::Result<()> {
        let journal = self.stack.file(&format!("journal-{}", self.journals.len()));
        self.journals.push(journal.clone());
        self.running.push(generate::start(Plan { journal: Some(journal), ..plan }, signer)?);
        Ok(())
    }

    /// Ends the oldest load that still runs, after the requests in the air.
    ///
    /// # Errors
    /// When there is none, or its journal could not be written.
    pub fn end_load(&mut self) -> anyhow::Result<()> {
        if self.running.is_empty() {
            bail!("no load is running");
        }
        let report = self.running.remove(0).finish()?;
        self.reports.push(report);
        Ok(())
    }

    /// Ends the load that was begun last.
    ///
    /// # Errors
    /// See [`Trial::end_load`].
    pub fn end_newest_load(&mut self) -> anyhow::Result<()> {
        // The ends of an empty list need no turning, and there is nothing to end either.
        if let Some(newest) = self.running.pop() {
            self.running.insert(0, newest);
        }
        self.end_load()
    }

    /// Lets time pass under load.
    pub fn wait(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    /// Seconds a fault lasts in this run.
    pub fn outage(&self) -> Duration {
        Duration::from_secs(self.settings.outage)
    }

    /// Events accepted so far by the loads that run.
    pub fn accepted(&self) -> u64 {
        self.running.iter().map(Running::accepted).sum()
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

    /// Notes a number that nothing is expected of.
    pub fn note(&mut self, what: impl Into<String>, seen: impl Into<String>) {
        self.check(true, what, seen);
    }

    /// Ends the load, waits for the worker and judges; `look` adds checks on what the clients saw, and on the store at rest.
    ///
    /// # Errors
    /// When there is nothing to judge by.
    pub fn finish(mut self, look: impl FnOnce(&mut Self, &Weather)) -> anyhow::Result<Outcome> {
        say(format_args!("   load ends ({} events accepted), waiting for the worker to catch up", self.accepted()));
        while !self.running.is_empty() {
            self.end_load()?;
        }
        let weather = Weather::new(Ledger::read(&self.journals)?.tries());
        let verdict = Audit {
            journals: self.journals.clone(),
            database_url: self.stack.admin_url(),
            scope: Scope::Everything,
            patience: Duration::from_secs(60),
            deadline: Duration::from_secs(15),
        }
        .run()?;
        look(&mut self, &weather);
        let passed = verdict.clean && self.checks.iter().all(|check| check.held);
        if !passed && self.settings.keep {
            say(format_args!("   kept for inspection: {}", self.stack.keep().display()));
        }
        let Self { stack, scenario, checks, reports, .. } = self;
        stack.stop()?;
        let outcome = Outcome { scenario, passed, checks, verdict, reports };
        say(format_args!("{outcome}"));
        Ok(outcome)
    }
}

/// An even rate for longer than any scenario.
pub fn steady(rate: f64) -> Pace {
    Pace::Open(Schedule::new(Profile::Soak, rate, 48 * 3_600, u64::MAX))
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
        for report in &self.reports {
            writeln!(f, "{report}")?;
        }
        writeln!(f, "{}", self.verdict)?;
        for Check { expected, seen, held } in &self.checks {
            writeln!(f, "  {} {expected}: {seen}", if *held { "ok  " } else { "FAIL" })?;
        }
        write!(f, "== {}: {}", self.scenario, if self.passed { "passed" } else { "FAILED" })
    }
}
