//! Load for an hour, with a look at what the processes hold every few seconds. Invariant: growth is judged within the life of one
//! process, after it has warmed up; a sitting that was stopped keeps its samples, and the next one goes on for the rest.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use weir::domain::time::Timestamp;

use super::kept::Kept;
use super::trial::{Settings, Trial};
use super::vitals::Vitals;
use crate::say;

/// A life shorter than this says nothing about growth.
const JUDGED_FROM_SECONDS: u64 = 600;
/// What a process may grow by an hour, beside a tenth of what it holds.
const SLACK_KIB: f64 = 8_192.0;
const SLACK_COUNT: f64 = 8.0;

/// Samples of a long run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Soak {
    /// Requests a second.
    pub rate: f64,
    /// Events of a batch; 1 for singles.
    pub events_per_request: u32,
    /// Seconds sampled so far.
    pub seconds: u64,
    /// What was found, in words, and whether it held.
    pub verdict: Vec<(String, bool)>,
    /// Lives of one stack each.
    pub sittings: Vec<Sitting>,
}

/// One life.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sitting {
    /// When it began.
    pub began: String,
    /// What the auditor found once the load had ended; absent when the sitting was stopped before.
    pub audit: Option<String>,
    /// The auditor found nothing.
    pub clean: bool,
    /// In order.
    pub samples: Vec<Sample>,
}

/// A moment.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Sample {
    pub second: u64,
    pub accepted: u64,
    pub api: Vitals,
    pub worker: Vitals,
}

impl Kept for Soak {
    fn task(&self) -> String {
        format!("soak at {} requests/s of {} events", self.rate, self.events_per_request)
    }
}

impl Soak {
    /// Loads and samples until `seconds` are full, over all sittings; tells whether everything stayed flat and clean.
    ///
    /// # Errors
    /// When the stack does not start, a process of it ends, or the record cannot be kept.
    pub fn run(seconds: u64, every: u64, path: &Path, settings: &Settings) -> anyhow::Result<bool> {
        let events_per_request = settings.batch.unwrap_or(1);
        let (verdict, sittings) = (Vec::new(), Vec::new());
        let fresh = Self { rate: settings.rate, events_per_request, seconds: 0, verdict, sittings };
        let mut soak = Self::resume(path, fresh)?;
        if soak.seconds < seconds {
            soak.sit(seconds - soak.seconds, every.max(1), path, settings)?;
        }
        soak.verdict = soak.sittings.iter().flat_map(Sitting::judge).collect();
        soak.verdict.push((format!("{} s of {seconds} s sampled", soak.seconds), soak.seconds >= seconds));
        soak.keep(path)?;
        for (words, held) in &soak.verdict {
            say(format_args!("  {} {words}", if *held { "ok  " } else { "FAIL" }));
        }
        Ok(soak.verdict.iter().all(|(_, held)| *held))
    }

    fn sit(&mut self, seconds: u64, every: u64, path: &Path, settings: &Settings) -> anyhow::Result<()> {
        let trial = Trial::start("soak", settings)?;
        let before = self.seconds;
        self.sittings.push(Sitting { began: Timestamp::now().to_string(), ..Sitting::default() });
        let start = Instant::now();
        while start.elapsed().as_secs() < seconds {
            let next = Duration::from_secs((start.elapsed().as_secs() / every + 1) * every);
            trial.wait(next.saturating_sub(start.elapsed()));
            let second = start.elapsed().as_secs();
            let sample = Sample {
                second,
                accepted: trial.accepted(),
                api: trial.vitals(&trial.stack.api)?,
                worker: trial.vitals(&trial.stack.worker)?,
            };
            self.seconds = before + second;
            if let Some(sitting) = self.sittings.last_mut() {
                sitting.samples.push(sample);
            }
            self.keep(path)?;
        }
        let outcome = trial.finish(|_, _| {})?;
        if let Some(sitting) = self.sittings.last_mut() {
            sitting.clean = outcome.passed;
            sitting.audit = Some(format!(
                "accepted {}, stored {}, {}",
                outcome.verdict.findings.accepted,
                outcome.verdict.findings.stored,
                if outcome.passed { "clean".to_owned() } else { outcome.broken().join("; ") }
            ));
        }
        self.keep(path)
    }
}

impl Sitting {
    fn judge(&self) -> Vec<(String, bool)> {
        let mut verdict = Vec::new();
        if let Some(audit) = &self.audit {
            verdict.push((format!("{}: {audit}", self.began), self.clean));
        }
        let life = self.samples.last().map_or(0, |sample| sample.second);
        if life < JUDGED_FROM_SECONDS {
            return verdict;
        }
        type Of = fn(&Sample) -> u64;
        let figures: [(&str, f64, Of); 6] = [
            ("KiB of the API", SLACK_KIB, |sample| sample.api.rss_kib),
            ("KiB of the worker", SLACK_KIB, |sample| sample.worker.rss_kib),
            ("descriptors of the API", SLACK_COUNT, |sample| sample.api.descriptors),
            ("descriptors of the worker", SLACK_COUNT, |sample| sample.worker.descriptors),
            ("threads of the API", SLACK_COUNT, |sample| sample.api.threads),
            ("threads of the worker", SLACK_COUNT, |sample| sample.worker.threads),
        ];
        for (name, slack, of) in figures {
            let (level, growth) = growth_an_hour(&self.samples, of);
            let held = growth <= level / 10.0 + slack;
            verdict.push((format!("{life} s of {name}: {level:.0}, {growth:+.0} an hour"), held));
        }
        verdict
    }
}

/// The median of the third quarter, and what the last one has more, as if it went on so for an hour. The first half warms up, and
/// takes the steps that a busy moment leaves: memory goes back to its allocator, seldom to the system. A leak goes on.
fn growth_an_hour(samples: &[Sample], of: impl Fn(&Sample) -> u64) -> (f64, f64) {
    let quarter = samples.len() / 4;
    let median = |part: &[Sample]| {
        let mut values: Vec<u64> = part.iter().map(&of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0) as f64
    };
    let (third, last) = (median(&samples[2 * quarter..3 * quarter]), median(&samples[3 * quarter..]));
    let seconds = samples.last().map_or(0, |sample| sample.second) as f64 / 4.0;
    (third, (last - third) * 3_600.0 / seconds.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sitting(rss_kib: impl Fn(u64) -> u64) -> Sitting {
        let sample = |second| {
            let api = Vitals { rss_kib: rss_kib(second), descriptors: 50, threads: 9 };
            Sample { second, accepted: 0, api, worker: Vitals { rss_kib: 50_000, ..api } }
        };
        Sitting { samples: (1..=120).map(|at| sample(at * 10)).collect(), ..Sitting::default() }
    }

    fn flat(sitting: &Sitting) -> bool {
        sitting.judge().iter().all(|(_, held)| *held)
    }

    #[test]
    fn warming_up_is_forgiven_and_a_leak_is_not() {
        assert!(flat(&sitting(|_| 80_000)));
        assert!(flat(&sitting(|second| 80_000.min(40_000 + second * 200))), "warm after 200 s");
        assert!(flat(&sitting(|second| 80_000 + (second % 70) * 50)), "a saw");
        assert!(flat(&sitting(|second| if second < 500 { 70_000 } else { 80_000 })), "a step");
        assert!(!flat(&sitting(|second| 80_000 + second * 10)), "36 MB an hour");
    }

    #[test]
    fn a_short_life_is_not_judged() {
        let mut short = sitting(|second| second * 1_000);
        short.samples.truncate(30);
        assert!(short.judge().is_empty());
    }
}
