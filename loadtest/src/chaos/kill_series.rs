//! Kill rounds by the hundred: parts of a few rounds, each on a stack of its own and audited by itself. Invariant: a round counts
//! only when its part was audited.

use std::path::Path;

use serde::{Deserialize, Serialize};
use weir::domain::time::Timestamp;

use super::kept::Kept;
use super::kill_rounds::KillRounds;
use super::trial::{Outcome, Settings};
use crate::say;

/// A series of kill rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KillSeries {
    /// `api` or `worker`, and where the worker dies.
    pub killed: String,
    /// Requests a second meanwhile.
    pub rate: f64,
    /// What has been done, in order.
    pub parts: Vec<Part>,
    /// The sum.
    pub total: Total,
}

/// Rounds on one stack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// When it ended.
    pub ended: String,
    /// Kills.
    pub rounds: u32,
    /// Every promise was kept.
    pub clean: bool,
    /// Events acknowledged.
    pub accepted: u64,
    /// Events stored.
    pub stored: u64,
    /// Acknowledged and missing.
    pub lost: u64,
    /// Stored twice.
    pub doubled: u64,
    /// Everything the auditor and the checks found, in words; empty when clean.
    pub broken: Vec<String>,
}

/// All parts together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "see Part")]
pub struct Total {
    pub rounds: u32,
    pub accepted: u64,
    pub stored: u64,
    pub lost: u64,
    pub doubled: u64,
    pub broken_parts: u32,
}

impl Kept for KillSeries {
    fn task(&self) -> String {
        format!("kill -9 of {} at {} requests/s", self.killed, self.rate)
    }
}

impl KillSeries {
    /// Goes on until `rounds` are done, `part` at a time; the record is in `path` after each part. Tells whether all were clean.
    ///
    /// # Errors
    /// When a part cannot be run or the record cannot be kept.
    pub fn run(what: &KillRounds, part: u32, path: &Path, settings: &Settings) -> anyhow::Result<bool> {
        let killed = what.killed();
        let fresh = Self { killed, rate: settings.rate, parts: Vec::new(), total: Total::default() };
        let mut series = Self::resume(path, fresh)?;
        while series.total.rounds < what.rounds {
            let left = what.rounds - series.total.rounds;
            let outcome = KillRounds { rounds: part.clamp(1, left), ..what.clone() }.run(settings)?;
            series.take(part.clamp(1, left), &outcome);
            series.keep(path)?;
            say(format_args!("{} of {} rounds: {:?}", series.total.rounds, what.rounds, series.total));
        }
        Ok(series.total.broken_parts == 0)
    }

    fn take(&mut self, rounds: u32, outcome: &Outcome) {
        let findings = &outcome.verdict.findings;
        let part = Part {
            ended: Timestamp::now().to_string(),
            rounds,
            clean: outcome.passed,
            accepted: findings.accepted,
            stored: findings.stored,
            lost: findings.lost.count,
            doubled: findings.doubled.count,
            broken: outcome.broken(),
        };
        self.total.add(&part);
        self.parts.push(part);
    }
}

impl Total {
    fn add(&mut self, part: &Part) {
        self.rounds += part.rounds;
        self.accepted += part.accepted;
        self.stored += part.stored;
        self.lost += part.lost;
        self.doubled += part.doubled;
        self.broken_parts += u32::from(!part.clean);
    }
}
