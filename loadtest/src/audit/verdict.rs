//! The auditor's last word. Invariant: one word for people, the same for machines: `clean` is true or something is named.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::compare::Findings;

/// What became of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Every promise was kept.
    pub clean: bool,
    /// Seconds the auditor waited for the worker to stand still.
    pub settled_after_seconds: f64,
    /// What was found.
    pub findings: Findings,
}

impl Verdict {
    pub(super) fn new(findings: Findings, settled: Duration) -> Self {
        Self { clean: findings.clean(), settled_after_seconds: settled.as_secs_f64(), findings }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Findings { accepted, stored, stored_unpromised, open_not_stored, torn_tails, .. } = self.findings;
        writeln!(f, "audit: accepted {accepted}, stored {stored}, of these unpromised {stored_unpromised}")?;
        writeln!(
            f,
            "  open and not stored {open_not_stored}, torn journal tails {torn_tails}, settled after {:.1} s",
            self.settled_after_seconds
        )?;
        for (name, deviation) in self.findings.deviations() {
            writeln!(f, "  {:<22}{:>8}  {}", name, deviation.count, deviation.examples.join(" | "))?;
        }
        if let Some(latency) = &self.findings.end_to_end {
            writeln!(f, "  end to end (due time to stored_at)  {latency}")?;
        }
        write!(f, "VERDICT: {}", if self.clean { "clean" } else { "PROMISES BROKEN" })
    }
}
