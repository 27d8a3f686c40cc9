//! Weir beside what a reader would pick instead. Invariant: everybody gets the same events by the same generator with the same tokens
//! and writes to the same broker; Nest's broker is Redis.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::Lengths;
use super::table::{Entry, Goal};
use crate::bench::{Arm, Load, Measured, Sample, Spread, interleave};
use crate::generate::{Key, Pace, Profile, Schedule};
use crate::peers::{Peer, Running};
use crate::scratch::Dir;
use crate::stack::Stack;

/// Singles a second that even a slow peer takes beside its load.
const LIGHT: f64 = 500.0;

/// Events of a batch.
const BATCH: u32 = 100;

/// Who takes the events of an arm.
enum Taker {
    Weir,
    Peer(Running),
}

/// A load and who takes it.
struct Turn<'a> {
    load: Load,
    taker: &'a Taker,
}

impl Arm for Turn<'_> {
    fn name(&self) -> &str {
        &self.load.name
    }

    fn round(&mut self) -> anyhow::Result<Sample> {
        let sample = self.load.round()?;
        if let Taker::Peer(peer) = self.taker {
            peer.settle()?;
        }
        Ok(sample)
    }
}

/// One arm, measured.
#[derive(Debug)]
struct Figures {
    measured: Measured,
    components: &'static [&'static str],
    /// Medians of p50 and p99 in ms, of an open loop.
    latency: Option<[f64; 2]>,
}

/// R20, R21 and R22; Weir first and Gin second in each.
#[derive(Debug)]
pub struct Peers {
    singles: Vec<Figures>,
    secret: Vec<Figures>,
    batches: Vec<Figures>,
    open: Vec<Figures>,
    light: Vec<Figures>,
}

/// Everybody on one stack.
struct Field {
    stack: Stack,
    keys: Dir,
    lengths: Lengths,
    /// Those with tokens of Ed25519: Weir, Gin, FastAPI, Nest.
    signed: Vec<Taker>,
    /// Those with tokens of a shared secret: Weir, Gin.
    shared: Vec<Taker>,
}

impl Field {
    fn start(weir: &Path, extra: &[(String, String)], dir: &Path, lengths: Lengths) -> anyhow::Result<Self> {
        let keys = Dir::new("keys")?;
        let mut make = Command::new(weir);
        make.args(["keys", "--dir"]).arg(keys.path());
        weir_local::command::run(&mut make, "", Duration::from_secs(60)).context("`weir keys`")?;
        let set = ("WEIR_JWT_JWKS".to_owned(), keys.path().join("jwks.json").display().to_string());
        let stack = Stack::start(weir, &extra.iter().cloned().chain([set]).collect::<Vec<_>>())?;
        stack.api.start()?;
        stack.api.wait_ready()?;
        let peer = |peer, key: &Key| anyhow::Ok(Taker::Peer(Running::start(peer, dir, &stack, key)?));
        let key = Key::in_dir(keys.path());
        let (gin, fast_api, nest) = (peer(Peer::Gin, &key)?, peer(Peer::FastApi, &key)?, peer(Peer::Nest, &key)?);
        let shared = vec![Taker::Weir, peer(Peer::Gin, &stack.key())?];
        Ok(Self { signed: vec![Taker::Weir, gin, fast_api, nest], stack, keys, lengths, shared })
    }

    /// All of them in turns under the same load.
    fn measure(&self, takers: &[Taker], key: &Key, batch: Option<u32>, pace: &Pace) -> anyhow::Result<Vec<Figures>> {
        let mut turns: Vec<Turn<'_>> = takers.iter().map(|taker| self.turn(taker, key, batch, pace)).collect();
        let mut arms: Vec<&mut dyn Arm> = turns.iter_mut().map(|turn| turn as &mut dyn Arm).collect();
        let measured = interleave(&mut arms, self.lengths.rounds)?;
        let figures = turns.into_iter().zip(measured).map(|(turn, measured)| {
            // The first round warms up.
            let counted = turn.load.latencies.get(1..).filter(|counted| !counted.is_empty());
            let latency = counted.map(|counted| {
                let median =
                    |of: fn(&crate::generate::Percentiles) -> f64| Spread::of(counted.iter().map(of).collect()).median;
                [median(|latency| latency.p50_ms), median(|latency| latency.p99_ms)]
            });
            Figures { measured, components: turn.taker.components(), latency }
        });
        Ok(figures.collect())
    }

    fn turn<'a>(&self, taker: &'a Taker, key: &Key, batch: Option<u32>, pace: &Pace) -> Turn<'a> {
        let (name, peer, meter) = match taker {
            Taker::Weir => ("Weir", self.stack.address(), self.stack.meter()),
            Taker::Peer(peer) => (peer.peer().as_str(), peer.address(), peer.meter()),
        };
        let load = Load {
            name: name.to_owned(),
            peer,
            key: key.clone(),
            meter,
            batch,
            accounts: None,
            pace: pace.clone(),
            connections: self.lengths.connections,
            latencies: Vec::new(),
        };
        Turn { load, taker }
    }

    fn run(&self, rate: f64) -> anyhow::Result<Peers> {
        let (signed, closed) = (Key::in_dir(self.keys.path()), Pace::Closed { run_for: self.lengths.run_for });
        let open = |rate| Pace::Open(Schedule::new(Profile::Steady, rate, self.lengths.run_for.as_secs(), u64::MAX));
        Ok(Peers {
            singles: self.measure(&self.signed, &signed, None, &closed)?,
            secret: self.measure(&self.shared, &self.stack.key(), None, &closed)?,
            batches: self.measure(&self.signed, &signed, Some(BATCH), &closed)?,
            open: self.measure(&self.signed[..2], &signed, None, &open(rate))?,
            light: self.measure(&self.signed, &signed, None, &open(LIGHT))?,
        })
    }
}

impl Taker {
    fn components(&self) -> &'static [&'static str] {
        match self {
            Self::Weir => &["api", "kafka"],
            Self::Peer(peer) => peer.peer().components(),
        }
    }
}

impl Peers {
    /// Measures on a stack of its own: `dir` is what `loadtest/peers/install.sh` filled, `rate` the singles a second of R22.
    ///
    /// # Errors
    /// When a peer is not installed or an arm cannot be run.
    pub fn measure(
        weir: &Path,
        extra: &[(String, String)],
        lengths: Lengths,
        dir: &Path,
        rate: f64,
    ) -> anyhow::Result<Self> {
        let dir: PathBuf =
            dir.canonicalize().with_context(|| format!("{}: run loadtest/peers/install.sh", dir.display()))?;
        let field = Field::start(weir, extra, &dir, lengths)?;
        let peers = field.run(rate)?;
        let Field { stack, signed, shared, .. } = field;
        // They go before the engines they write to.
        drop((signed, shared));
        stack.stop()?;
        Ok(peers)
    }

    /// The ratios.
    pub fn entries(&self) -> Vec<(&'static str, Entry)> {
        let rows = [
            ("R20a", "Weir ÷ Gin, singles, Ed25519 tokens", Goal::at_most(0.8, 0.45), &self.singles),
            ("R20b", "Weir ÷ Gin, singles, tokens of a shared secret", Goal::at_most(0.8, 0.45), &self.secret),
            ("R21", "Weir ÷ Gin, batches of 100", Goal::at_most(0.5, 0.25), &self.batches),
            ("R22a", "Weir ÷ Gin, singles at a fixed rate", Goal::at_most(1.0, 0.5), &self.open),
            ("R22b", "Weir ÷ Gin, 500 singles/s", Goal::at_most(1.0, 0.5), &self.light),
        ];
        rows.into_iter().filter_map(|(id, what, goal, figures)| Some((id, compared(what, goal, figures)?))).collect()
    }
}

/// The first by the second; all of them among the arms.
fn compared(what: &'static str, goal: Goal, figures: &[Figures]) -> Option<Entry> {
    let [weir, gin, ..] = figures else { return None };
    let (upper, lower) = ((&weir.measured, weir.components), (&gin.measured, gin.components));
    let mut entry = Entry::of_cost(what, goal, upper, lower);
    for Figures { measured, components, latency } in figures {
        let name = &measured.arm;
        let both = measured.rounds.iter().map(|sample| sample.micros(components));
        entry.arms.insert(format!("{name} ({}), us", components.join(" + ")), Spread::of(both.collect()).median);
        for component in ["api", "kafka", "redis"] {
            entry
                .arms
                .extend(measured.micros(component).map(|each| (format!("{name} ({component}), us"), each.median)));
        }
        entry.arms.insert(format!("{name}, events/s"), measured.rate.median);
        if let Some([p50, p99]) = latency {
            entry.arms.extend([(format!("{name}, p50 ms"), *p50), (format!("{name}, p99 ms"), *p99)]);
        }
    }
    Some(entry)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cpu::Usage;

    fn figures(arm: &str, micros: u64, latency: Option<[f64; 2]>) -> Figures {
        let cpu = Usage::from([("api".to_owned(), micros), ("kafka".to_owned(), 100)]);
        let rounds = vec![Sample { events: 10, seconds: 1.0, cpu }];
        let measured =
            Measured { arm: arm.to_owned(), rate: Spread::of(vec![10.0]), micros_per_event: BTreeMap::new(), rounds };
        Figures { measured, components: &["api", "kafka"], latency }
    }

    #[test]
    fn the_first_is_divided_by_the_second_and_all_are_shown() {
        let all = [figures("Weir", 300, Some([1.0, 2.0])), figures("Gin", 700, None), figures("Nest", 900, None)];
        let entry = compared("w", Goal::at_most(0.8, 0.45), &all).expect("two at least");
        assert_eq!((entry.value, entry.verdict), (0.5, "floor"));
        assert_eq!(entry.arms["Nest (api + kafka), us"], 100.0);
        assert_eq!((entry.arms["Weir, p99 ms"], entry.arms["Gin, events/s"]), (2.0, 10.0));
        assert!(compared("w", Goal::at_most(1.0, 1.0), &all[..1]).is_none());
    }
}
