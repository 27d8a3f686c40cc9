//! Ratios with their arms, goals and verdicts. Invariant: a ratio is never shown without the figures it was made of.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Machine;
use crate::bench::{Measured, Spread};

/// What a ratio should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Goal {
    /// The least that was promised.
    pub floor: f64,
    /// What is aimed at.
    pub aim: f64,
    /// Whether more is better.
    pub at_least: bool,
}

impl Goal {
    /// More is better.
    pub fn at_least(floor: f64, aim: f64) -> Self {
        Self { floor, aim, at_least: true }
    }

    /// Less is better.
    pub fn at_most(floor: f64, aim: f64) -> Self {
        Self { floor, aim, at_least: false }
    }

    fn verdict(&self, value: f64) -> &'static str {
        let reaches = |goal: f64| if self.at_least { value >= goal } else { value <= goal };
        match (reaches(self.aim), reaches(self.floor)) {
            (true, _) => "aim",
            (false, true) => "floor",
            (false, false) => "missed",
        }
    }
}

/// One ratio.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// What is divided by what.
    pub what: &'static str,
    /// The median over the rounds.
    pub value: f64,
    /// Least and most over the rounds.
    pub spread: [f64; 2],
    /// The figures: arm to µs of processor time an event, or what its name says.
    pub arms: BTreeMap<String, f64>,
    /// What it should be.
    pub goal: Goal,
    /// `aim`, `floor` or `missed`.
    pub verdict: &'static str,
}

/// An arm and the components whose processor time counts.
pub type Side<'a> = (&'a Measured, &'a [&'a str]);

impl Entry {
    /// Processor time an event of `upper` by that of `lower`, round by round.
    pub fn of_cost(what: &'static str, goal: Goal, upper: Side<'_>, lower: Side<'_>) -> Self {
        let micros = |(measured, components): Side<'_>| -> Vec<f64> {
            measured.rounds.iter().map(|sample| sample.micros(components)).collect()
        };
        let (above, below) = (micros(upper), micros(lower));
        let each = above.iter().zip(&below).filter(|(_, below)| **below > 0.0).map(|(above, below)| above / below);
        let each = each.collect();
        let arms = [(upper, above), (lower, below)].map(|((measured, components), micros)| {
            (format!("{} ({}), us", measured.arm, components.join(" + ")), Spread::of(micros).median)
        });
        Self::of(what, goal, each, arms.into())
    }

    /// A ratio by its value in each round, and the figures it was made of.
    pub fn of(what: &'static str, goal: Goal, each: Vec<f64>, arms: BTreeMap<String, f64>) -> Self {
        let spread = Spread::of(each);
        let verdict = goal.verdict(spread.median);
        Self { what, value: spread.median, spread: [spread.min, spread.max], arms, goal, verdict }
    }
}

/// All ratios of a run, by their number in the list of targets.
#[derive(Debug, Serialize)]
pub struct Table {
    /// Where it ran.
    pub machine: Machine,
    /// Ratios.
    #[serde(flatten)]
    pub entries: BTreeMap<&'static str, Entry>,
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.machine)?;
        for (id, entry) in &self.entries {
            let sign = if entry.goal.at_least { '≥' } else { '≤' };
            let [least, most] = entry.spread;
            writeln!(
                out,
                "{id:<5}{:<58}{:>7.3}  [{least:.3} to {most:.3}]  {sign} {} (aim {})  {}",
                entry.what, entry.value, entry.goal.floor, entry.goal.aim, entry.verdict
            )?;
            for (arm, figure) in &entry.arms {
                writeln!(out, "       {arm:<56}{figure:>7.2}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Sample;
    use crate::cpu::Usage;

    fn measured(arm: &str, micros: [u64; 3]) -> Measured {
        let sample = |micros: u64| Sample { events: 10, seconds: 1.0, cpu: Usage::from([("api".to_owned(), micros)]) };
        Measured {
            arm: arm.to_owned(),
            rate: Spread::of(Vec::new()),
            micros_per_event: BTreeMap::new(),
            rounds: micros.map(sample).into(),
        }
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let (least, full) = (measured("least", [10, 30, 20]), measured("full", [20, 40, 80]));
        let goal = Goal::at_least(0.5, 0.7);
        let entry = Entry::of_cost("least by full", goal, (&least, &["api"]), (&full, &["api"]));
        assert_eq!((entry.value, entry.spread, entry.verdict), (0.5, [0.25, 0.75], "floor"));
        assert_eq!(entry.arms["full (api), us"], 4.0);
    }

    #[test]
    fn verdicts_look_the_right_way() {
        assert_eq!(Goal::at_most(1.25, 1.1).verdict(1.2), "floor");
        assert_eq!(Goal::at_most(1.25, 1.1).verdict(1.0), "aim");
        assert_eq!(Goal::at_least(0.6, 0.7).verdict(0.59), "missed");
    }
}
