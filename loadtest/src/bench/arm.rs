//! Arms of a comparison. Invariant: arms take turns (ABAB…), so that a slow minute of the machine hits all of them, and the
//! median is never shown without its spread.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cpu::Usage;
use crate::say;

/// One measurement of one arm.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Events that went through.
    pub events: u64,
    /// Seconds it took.
    pub seconds: f64,
    /// µs of processor time by component.
    pub cpu: Usage,
}

/// Something that can be measured again and again.
pub trait Arm {
    /// Its name in tables.
    fn name(&self) -> &str;

    /// One round.
    ///
    /// # Errors
    /// When the round cannot be run; the bench ends then.
    fn round(&mut self) -> anyhow::Result<Sample>;
}

/// Median and spread of a figure over the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of at least one value; of none it is all zero.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            return Self { median: 0.0, min: 0.0, max: 0.0 };
        };
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Self { median, min, max }
    }
}

/// All rounds of one arm.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// The arm's name.
    pub arm: String,
    /// Events a second.
    pub rate: Spread,
    /// µs of processor time an event by component.
    pub micros_per_event: BTreeMap<String, Spread>,
    /// What the figures are made of, in order.
    #[serde(skip)]
    pub rounds: Vec<Sample>,
}

impl Sample {
    /// µs of processor time an event of some components together.
    pub fn micros(&self, components: &[&str]) -> f64 {
        let used: u64 = components.iter().filter_map(|name| self.cpu.get(*name)).sum();
        used as f64 / self.events.max(1) as f64
    }
}

impl Measured {
    fn of(arm: &str, samples: &[Sample]) -> Self {
        let components: Vec<&String> = samples.first().map(|sample| sample.cpu.keys().collect()).unwrap_or_default();
        let each = |name: &String| {
            let values = samples
                .iter()
                .map(|sample| sample.cpu.get(name).copied().unwrap_or(0) as f64 / sample.events.max(1) as f64);
            Spread::of(values.collect())
        };
        Self {
            arm: arm.to_owned(),
            rate: Spread::of(samples.iter().map(|sample| sample.events as f64 / sample.seconds).collect()),
            micros_per_event: components.into_iter().map(|name| (name.clone(), each(name))).collect(),
            rounds: samples.to_vec(),
        }
    }

    /// µs an event of one component.
    pub fn micros(&self, component: &str) -> Option<Spread> {
        self.micros_per_event.get(component).copied()
    }
}

/// Runs all arms for a number of rounds, one after the other within each; a first round of each warms up and is not counted.
///
/// # Errors
/// See [`Arm::round`].
pub fn interleave(arms: &mut [&mut dyn Arm], rounds: u32) -> anyhow::Result<Vec<Measured>> {
    let mut samples: Vec<Vec<Sample>> = arms.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (arm, kept) in arms.iter_mut().zip(&mut samples) {
            let sample = arm.round()?;
            say(format_args!(
                "   round {round} {:<24} {:>9.0} events/s",
                arm.name(),
                sample.events as f64 / sample.seconds
            ));
            if round > 0 {
                kept.push(sample);
            }
        }
    }
    Ok(arms.iter().zip(&samples).map(|(arm, samples)| Measured::of(arm.name(), samples)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting<'a> {
        name: &'static str,
        order: &'a std::cell::RefCell<Vec<&'static str>>,
        cost: u64,
    }

    impl Arm for Counting<'_> {
        fn name(&self) -> &str {
            self.name
        }

        fn round(&mut self) -> anyhow::Result<Sample> {
            self.order.borrow_mut().push(self.name);
            self.cost += 1;
            Ok(Sample { events: 10, seconds: 2.0, cpu: Usage::from([("api".into(), self.cost * 10)]) })
        }
    }

    #[test]
    fn arms_take_turns_and_the_first_round_warms_up() {
        let order = std::cell::RefCell::default();
        let mut first = Counting { name: "a", order: &order, cost: 100 };
        let mut second = Counting { name: "b", order: &order, cost: 0 };
        let measured = interleave(&mut [&mut first, &mut second], 3).expect("rounds");
        assert_eq!(*order.borrow(), ["a", "b", "a", "b", "a", "b", "a", "b"]);
        assert_eq!(measured[1].micros("api"), Some(Spread { median: 3.0, min: 2.0, max: 4.0 }));
        assert_eq!(measured[0].rate.median, 5.0);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of(Vec::new()).median, 0.0);
    }
}
