//! The table of `make chaos`: one row a scenario, kept in a file. Invariant: a row says what was tried, on which binary and when;
//! a scenario that cannot be played here has a row that says why, and no row is ever passed for it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use weir::domain::time::Timestamp;

use super::kept::Kept;
use super::scenario::Scenario;
use super::trial::{Check, Outcome, Settings};
use crate::ratios::Machine;

/// Why a scenario cannot be played on this machine or by this command.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotHere(pub &'static str);

/// Refuses to go on where something is missing.
///
/// # Errors
/// [`NotHere`] unless it is there.
pub fn needs(there: bool, otherwise: &'static str) -> anyhow::Result<()> {
    if there { Ok(()) } else { Err(NotHere(otherwise).into()) }
}

/// All rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    /// Where the last of them was run.
    pub machine: Machine,
    /// In the order of the matrix.
    pub rows: Vec<Row>,
}

/// One scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// Row of the fault matrix.
    pub row: String,
    /// Name of the scenario.
    pub scenario: String,
    /// What was done.
    pub done: String,
    /// `passed`, `failed` or `not here`.
    pub verdict: String,
    /// What did not hold, or why it was not played.
    pub why: Vec<String>,
    /// When it ended.
    pub ended: String,
    /// Version, size and checksum of the binary under test.
    pub binary: String,
    /// Requests a second, and seconds of the fault.
    pub load: (f64, u64),
    /// What was expected and seen beyond the auditor's word.
    pub checks: Vec<Check>,
    /// The auditor's numbers: accepted, stored, and each kind of deviation.
    pub audit: BTreeMap<String, u64>,
    /// Tries by status, and those without an answer.
    pub answers: BTreeMap<String, u64>,
}

impl Kept for Table {
    fn task(&self) -> String {
        "chaos".to_owned()
    }
}

impl Row {
    /// Plays a scenario; whatever comes of it is a row.
    pub fn of(scenario: &Scenario, settings: &Settings) -> Self {
        let mut row = Self {
            row: scenario.row.to_owned(),
            scenario: scenario.name.to_owned(),
            done: scenario.about.to_owned(),
            verdict: "failed".to_owned(),
            why: Vec::new(),
            ended: String::new(),
            binary: binary(&settings.weir),
            load: (settings.rate, settings.outage),
            checks: Vec::new(),
            audit: BTreeMap::new(),
            answers: BTreeMap::new(),
        };
        match scenario.run(settings) {
            Ok(outcome) => row.take(outcome),
            Err(error) if error.is::<NotHere>() => {
                row.verdict = "not here".to_owned();
                row.why.push(error.to_string());
            }
            Err(error) => row.why.push(format!("{error:#}")),
        }
        row.ended = Timestamp::now().to_string();
        row
    }

    fn take(&mut self, outcome: Outcome) {
        if outcome.passed {
            self.verdict = "passed".to_owned();
        }
        self.why = outcome.broken();
        let findings = &outcome.verdict.findings;
        self.audit = [("accepted", findings.accepted), ("stored", findings.stored)]
            .into_iter()
            .chain(findings.deviations().into_iter().map(|(name, deviation)| (name, deviation.count)))
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
        for report in &outcome.reports {
            let statuses = report.statuses.iter().map(|(status, count)| (status.to_string(), *count));
            for (name, count) in statuses.chain(report.lost.iter().map(|(name, count)| ((*name).to_owned(), *count))) {
                *self.answers.entry(name).or_default() += count;
            }
        }
        self.checks = outcome.checks;
    }

    /// Not failed.
    pub fn is_fine(&self) -> bool {
        self.verdict != "failed"
    }
}

impl Table {
    /// Plays scenarios one after the other; the file has each row as soon as it is there, and keeps the rows of others.
    ///
    /// # Errors
    /// When the file cannot be read or kept.
    pub fn play(scenarios: &[&Scenario], settings: &Settings, path: &Path) -> anyhow::Result<Self> {
        let fresh = Self { machine: Machine::read(), rows: Vec::new() };
        let mut table = Self { machine: fresh.machine.clone(), ..Self::resume(path, fresh)? };
        for scenario in scenarios {
            let row = Row::of(scenario, settings);
            crate::say(format_args!("{row}"));
            table.rows.retain(|known| known.scenario != row.scenario);
            table.rows.push(row);
            let place = |row: &Row| super::SCENARIOS.iter().position(|scenario| scenario.name == row.scenario);
            table.rows.sort_by_key(place);
            table.keep(path)?;
        }
        Ok(table)
    }
}

/// What tells one build from another.
fn binary(path: &Path) -> String {
    let mut version = std::process::Command::new(path);
    let version = weir_local::command::run(version.arg("--version"), "", Duration::from_secs(10));
    let version = version.map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned());
    let told = fs::read(path)
        .context("reading the binary")
        .map(|bytes| format!("{version}, {} bytes, crc32 {:08x}", bytes.len(), crc32fast::hash(&bytes)));
    told.unwrap_or(version)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |name: &str| self.audit.get(name).copied().unwrap_or(0);
        let Self { row, scenario, verdict, done, .. } = self;
        write!(f, "{row:<4} {scenario:<20} {verdict:<9} ")?;
        if self.audit.is_empty() {
            return write!(f, "{done}: {}", self.why.join("; "));
        }
        let (accepted, lost, doubled) = (count("accepted"), count("accepted but lost"), count("stored twice"));
        write!(f, "accepted {accepted}, lost {lost}, doubled {doubled}; {done}")?;
        for why in &self.why {
            write!(f, "\n     ! {why}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.machine)?;
        for row in &self.rows {
            write!(f, "\n{row}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let weir = "/nowhere/weir".into();
        Settings { weir, rate: 1.0, batch: None, outage: 1, older: None, keep: false }
    }

    #[test]
    fn what_is_missing_is_no_failure_and_never_a_pass() {
        fn missing(_: &str, _: &Settings) -> anyhow::Result<Outcome> {
            needs(false, "it takes root")?;
            anyhow::bail!("not reached")
        }
        fn broken(_: &str, _: &Settings) -> anyhow::Result<Outcome> {
            needs(true, "it takes root")?;
            anyhow::bail!("the engine does not start")
        }
        let row = Row::of(&Scenario::new("a", "F0", "nothing", missing), &settings());
        assert_eq!((row.verdict.as_str(), row.why.as_slice()), ("not here", ["it takes root".to_owned()].as_slice()));
        assert!(row.is_fine());
        let row = Row::of(&Scenario::new("a", "F0", "nothing", broken), &settings());
        assert_eq!((row.verdict.as_str(), row.is_fine()), ("failed", false));
        assert!(row.to_string().contains("the engine does not start"), "{row}");
    }
}
