//! One objective over its window. Invariant: an answer of the 400s is in no share; a minute in which no instance served counts as
//! the mean of the others, all of it bad.

use super::{BudgetLine, Latency};
use crate::domain::sli::{Sample, VISIBILITY};
use crate::slo::budget::{Budget, Tally};
use crate::slo::objectives::{Measure, Objective};
use crate::store::Stretch;

/// What reports are made of.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    /// Sums of hours, or of any stretches that divide a day, in order of time.
    pub stretches: Vec<Stretch>,
    /// Beginnings of minutes in which no instance served.
    pub silent: Vec<i64>,
}

/// Counts of one objective in one range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Good and bad ones, lost ones among the latter.
    pub tally: Tally,
    /// Of the bad ones, those lost to silence.
    pub lost: u64,
    /// Everything of these operations.
    pub sample: Sample,
}

impl Sums {
    /// The objective from `from` until before `to`, in Unix seconds.
    pub fn count(&self, objective: &Objective, from: i64, to: i64) -> Counted {
        let mut sample = Sample::default();
        let inside = |stretch: &&Stretch| (from..to).contains(&stretch.at) && counts(objective, &stretch.operation);
        self.stretches.iter().filter(inside).for_each(|stretch| sample.merge(&stretch.sample));
        let slow = || sample.slower_than(objective.milliseconds.unwrap_or_default());
        let (bad, total) = match objective.measure {
            Measure::Availability => (sample.bad, sample.good + sample.bad),
            Measure::Latency | Measure::Visibility => (slow(), sample.good),
        };
        let lost = if objective.measure == Measure::Availability { self.lost(total, from, to) } else { 0 };
        Counted { tally: Tally { good: total - bad, bad: bad + lost }, lost, sample }
    }

    /// What would have been asked in the silent minutes at the mean of the minutes served, rounded down.
    fn lost(&self, total: u64, from: i64, to: i64) -> u64 {
        let begun = self.stretches.first().map_or(to, |stretch| stretch.at).max(from);
        let silent = self.silent.iter().filter(|minute| (begun..to).contains(*minute)).count() as u64;
        let served = u64::try_from((to - begun) / 60).unwrap_or_default().saturating_sub(silent);
        (silent * total).checked_div(served).unwrap_or_default()
    }

    /// Silent minutes from `from` until before `to`.
    pub fn silent_between(&self, from: i64, to: i64) -> u64 {
        self.silent.iter().filter(|minute| (from..to).contains(*minute)).count() as u64
    }
}

fn counts(objective: &Objective, operation: &str) -> bool {
    match (objective.measure, objective.operations.as_slice()) {
        (Measure::Visibility, _) => operation == VISIBILITY,
        (_, []) => operation != VISIBILITY,
        (_, named) => named.iter().any(|name| name == operation),
    }
}

/// A number as reports show it: four digits behind the point.
pub fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// Times of a sample's good answers.
pub fn latency(sample: &Sample) -> Option<Latency> {
    let at = |q| sample.quantile_ms(q).map(rounded);
    Some(Latency { p50: at(0.5)?, p95: at(0.95)?, p99: at(0.99)? })
}

/// The budget as a report tells it; `ends_at` only when that is within its period.
pub fn budget_line(objective: &Objective, period: Tally, recent: Tally, (days, now): (i64, i64)) -> BudgetLine {
    let seconds = days * 86_400;
    let budget = Budget::of(period, recent, objective.allowed(), seconds);
    let soon = budget.exhausted_in_seconds.filter(|left| *left <= seconds);
    BudgetLine {
        allowed: rounded(period.total() as f64 * objective.allowed()),
        used_percent: rounded(budget.used_percent()),
        left_percent: rounded(budget.left_percent),
        burn_rate: rounded(budget.burn_rate),
        band: budget.band.name(),
        action: budget.band.action(),
        ends_at: soon.map(|left| super::words::time(now + left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slo::objectives::Objectives;

    fn stretch(at: i64, operation: &str, good: u64, bad: u64, client: u64) -> Stretch {
        let mut bins = [0; crate::domain::sli::BINS];
        bins[0] = good;
        Stretch { at, operation: operation.into(), sample: Sample { good, bad, client, bins } }
    }

    #[test]
    fn the_callers_mistakes_are_in_no_share_and_silence_costs_the_mean() {
        let objectives = Objectives::load(None).expect("sound").objectives;
        let sums = Sums {
            stretches: vec![
                stretch(0, "postEvent", 5_400, 0, 900),
                stretch(0, "getSummary", 10, 0, 0),
                stretch(0, VISIBILITY, 5_400, 0, 0),
                stretch(3_600, "postEventBatch", 0, 6, 0),
            ],
            silent: vec![3_600, 3_660, 3_720, 90_000],
        };
        let ingest = sums.count(&objectives[0], 0, 7_200);
        // 5,406 answers in 117 minutes are 46.2 a minute: 138 in three.
        assert_eq!((ingest.tally, ingest.lost), (Tally { good: 5_400, bad: 6 + 138 }, 138));
        assert_eq!(ingest.sample.client, 900);
        let overall = sums.count(&objectives[5], 0, 3_600);
        assert_eq!(overall.tally, Tally { good: 5_410, bad: 0 });
        assert_eq!(sums.count(&objectives[4], 0, 3_600).tally.total(), 5_400);
        assert_eq!(sums.count(&objectives[1], 3_600, 7_200).tally.total(), 0, "no good answer, nothing to be slow");
    }
}
