//! Promises against rows. Invariant: pure; every deviation is counted, and a few of each kind are kept to be looked into.

use std::collections::HashMap;

use serde::Serialize;

use super::ledger::{End, Ledger, Tried};
use crate::generate::{Latency, Lost, Percentiles};
use crate::journal::{Damage, account_name, event_id, event_number};

/// Examples kept of each kind of deviation.
const EXAMPLES: usize = 10;

/// Forgiven on the deadline: the answer's way through two busy processes.
const GRACE_MICROS: i64 = 500_000;

/// One kind of deviation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Deviation {
    /// How often.
    pub count: u64,
    /// The first few.
    pub examples: Vec<String>,
}

impl Deviation {
    fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

/// What the auditor found. Everything up to `damage` must be empty.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Findings {
    /// Accepted and not stored.
    pub lost: Deviation,
    /// More than one row.
    pub doubled: Deviation,
    /// A row no request asked for, or in another account than its request.
    pub strangers: Deviation,
    /// A row although every try was refused.
    pub refused_but_stored: Deviation,
    /// An account whose `sum(event_counts.events)` is not its number of rows.
    pub miscounted: Deviation,
    /// A receipt out of order.
    pub reordered: Deviation,
    /// An answer after the deadline, or none while the connection stood.
    pub late: Deviation,
    /// Lines of the journal that cannot be believed.
    pub damaged: Deviation,
    /// Events accepted.
    pub accepted: u64,
    /// Events stored.
    pub stored: u64,
    /// Events stored though no answer promised it: a lost answer, made good by the store.
    pub stored_unpromised: u64,
    /// Events whose fate was left open and that are not stored.
    pub open_not_stored: u64,
    /// Torn lines of killed generators, of no consequence.
    pub torn_tails: u64,
    /// From the due time to `stored_at` of the accepted events.
    pub end_to_end: Option<Percentiles>,
}

impl Findings {
    /// The kinds of deviation with their names.
    pub fn deviations(&self) -> [(&'static str, &Deviation); 8] {
        [
            ("accepted but lost", &self.lost),
            ("stored twice", &self.doubled),
            ("rows without request", &self.strangers),
            ("refused but stored", &self.refused_but_stored),
            ("counts unequal rows", &self.miscounted),
            ("out of order", &self.reordered),
            ("late or unanswered", &self.late),
            ("journal damaged", &self.damaged),
        ]
    }

    /// Whether every promise was kept.
    pub fn clean(&self) -> bool {
        self.deviations().iter().all(|(_, deviation)| deviation.count == 0)
    }
}

/// Holds the rows of the store against a ledger.
#[derive(Debug)]
pub struct Comparison {
    ledger: Ledger,
    /// Index into the ledger's runs by name.
    runs: HashMap<String, usize>,
    findings: Findings,
    end_to_end: Latency,
    /// Rows by account.
    rows: HashMap<String, u64>,
}

impl Comparison {
    /// Starts with what the ledger alone tells: order, deadlines, damage.
    pub fn new(mut ledger: Ledger, deadline_micros: i64) -> Self {
        let runs = ledger.runs.iter().enumerate().map(|(at, run)| (run.header.run.clone(), at)).collect();
        let mut findings = Findings::default();
        for violation in std::mem::take(&mut ledger.reordered) {
            findings.reordered.add(|| violation);
        }
        for tried in &ledger.tries {
            judge_time(tried, deadline_micros + GRACE_MICROS, &mut findings.late);
        }
        let Damage { torn_tails, inside } = ledger.damage;
        findings.torn_tails = torn_tails;
        (0..inside).for_each(|_| findings.damaged.add(|| "a line whose checksum does not fit".to_owned()));
        Self { ledger, runs, findings, end_to_end: Latency::default(), rows: HashMap::new() }
    }

    /// Takes one row of `events`; `stored_at` in µs since 1970.
    pub fn row(&mut self, account: &str, id: &str, stored_at: i64) {
        match self.rows.get_mut(account) {
            Some(count) => *count += 1,
            None => drop(self.rows.insert(account.to_owned(), 1)),
        }
        self.findings.stored += 1;
        let run = id.rsplit_once('-').and_then(|(run, _)| self.runs.get(run).copied());
        let found = run.and_then(|at| {
            let run = &mut self.ledger.runs[at];
            let number = event_number(&run.header.run, id)?;
            let known = run.events.get_mut(usize::try_from(number).ok()?)?;
            (account_name(&run.header.account_prefix, known.account) == account).then_some((&run.header, known))
        });
        let Some((header, known)) = found else {
            return self.findings.strangers.add(|| format!("{account} {id}"));
        };
        if std::mem::replace(&mut known.stored, true) {
            return self.findings.doubled.add(|| format!("{account} {id}"));
        }
        if known.accepted {
            let due = header.start_micros.saturating_add_unsigned(known.due);
            self.end_to_end.record(u64::try_from(stored_at - due).unwrap_or(0));
        } else if known.open {
            self.findings.stored_unpromised += 1;
        } else if known.refused {
            self.findings.refused_but_stored.add(|| format!("{account} {id}"));
        } else {
            self.findings.strangers.add(|| format!("{account} {id}: never sent"));
        }
    }

    /// Takes the sum of an account's counts, once all rows were seen.
    pub fn counts(&mut self, account: &str, sum: i64) {
        let rows = self.rows.remove(account).unwrap_or(0);
        if u64::try_from(sum).ok() != Some(rows) {
            self.findings.miscounted.add(|| format!("{account}: {rows} rows, counts say {sum}"));
        }
    }

    /// Closes the comparison: accounts whose counts were not given have none.
    pub fn finish(mut self) -> Findings {
        for account in self.rows.keys().cloned().collect::<Vec<_>>() {
            self.counts(&account, 0);
        }
        for run in &self.ledger.runs {
            for (number, known) in run.events.iter().enumerate() {
                self.findings.accepted += u64::from(known.accepted);
                if known.accepted && !known.stored {
                    let account = account_name(&run.header.account_prefix, known.account);
                    self.findings.lost.add(|| format!("{account} {}", event_id(&run.header.run, number as u64)));
                }
                self.findings.open_not_stored += u64::from(known.open && !known.accepted && !known.stored);
            }
        }
        let percentiles = self.end_to_end.percentiles();
        self.findings.end_to_end = (percentiles.count > 0).then_some(percentiles);
        self.findings
    }
}

fn judge_time(tried: &Tried, allowed: i64, late: &mut Deviation) {
    let Some(ended) = tried.ended else { return };
    let took = ended - tried.sent;
    match tried.end {
        End::Status(status) if took > allowed => late.add(|| format!("a {status} after {} ms", took / 1_000)),
        End::Lost(Lost::Timeout) => late.add(|| format!("no answer within {} ms", took / 1_000)),
        End::Lost(Lost::Garbled) => late.add(|| "an answer that is not HTTP".to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
