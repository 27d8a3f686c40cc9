//! What the clients cost at several rates. Invariant: all take turns within each round, and what offering and an idle broker use
//! ("nobody") is taken off both.

use std::time::Duration;

use serde::Serialize;
use weir_local::Kafka;

use super::Client;
use super::child::{Order, Running};
use super::drive::Driven;
use crate::bench::Spread;
use crate::cpu::GENERATOR;
use crate::say;

/// Records a second, and of a call.
const LOADS: [(u64, u64); 4] = [(500, 1), (5_000, 1), (20_000, 1), (20_000, 100)];

/// How it is measured.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// Rounds that count, after one that warms the broker up.
    pub rounds: u32,
    /// Length of a round.
    pub length: Duration,
}

/// One client at one load.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// Records offered a second.
    pub rate: u64,
    /// Records of a call.
    pub batch: u64,
    /// Which.
    pub client: Client,
    /// Records acknowledged, all rounds together.
    pub acknowledged: u64,
    /// Records not acknowledged, all rounds together.
    pub failed: u64,
    /// µs of processor time an event: the client's process, with what offers the records.
    pub process_us: Spread,
    /// µs of processor time an event: the client alone, medians.
    pub client_us: f64,
    /// µs of processor time an event: the broker, less what it uses idle, medians.
    pub broker_us: f64,
    /// Milliseconds from when a call was due to its answer: half of them took no longer.
    pub p50_ms: Spread,
    /// The same for 99 of 100.
    pub p99_ms: Spread,
}

/// The runs of one client at one load.
struct Runs {
    client: Client,
    rate: u64,
    batch: u64,
    driven: Vec<Driven>,
}

impl Costs {
    /// Measures on one broker.
    ///
    /// # Errors
    /// When a client cannot be run.
    pub fn run(self, kafka: &Kafka) -> anyhow::Result<Vec<Cost>> {
        let clients = [Client::Nobody, Client::Rdkafka, Client::Krafka];
        let mut all: Vec<Runs> = LOADS
            .iter()
            .flat_map(|(rate, batch)| clients.map(|client| Runs { client, rate: *rate, batch: *batch, driven: vec![] }))
            .collect();
        for client in Client::REAL {
            Runs { client, rate: 20_000, batch: 1, driven: vec![] }.once(kafka, self.length)?;
        }
        for round in 1..=self.rounds {
            for runs in &mut all {
                let driven = runs.once(kafka, self.length)?;
                say(format_args!(
                    "   round {round} {:>6}/s by {:<3} {:<8} {:>7.2} us of the process, p50 {:>6.2} ms, p99 {:>6.2} ms, {} failed",
                    runs.rate,
                    runs.batch,
                    runs.client.as_str(),
                    micros(&driven, GENERATOR),
                    driven.p50_ms,
                    driven.p99_ms,
                    driven.failed,
                ));
                runs.driven.push(driven);
            }
        }
        Ok(all
            .chunks(clients.len())
            .flat_map(|load| load[1..].iter().map(|runs| runs.beside(&load[0])).collect::<Vec<_>>())
            .collect())
    }
}

impl Runs {
    fn once(&self, kafka: &Kafka, length: Duration) -> anyhow::Result<Driven> {
        let order = Order {
            client: self.client,
            bootstrap: &kafka.bootstrap(),
            topic: &format!("costs.{}", self.client.as_str()),
            rate: self.rate,
            batch: self.batch,
            length,
            broker: kafka.broker(0).pid(),
            journal: None,
        };
        Running::start(&order)?.finish()
    }

    fn spread(&self, of: impl Fn(&Driven) -> f64) -> Spread {
        Spread::of(self.driven.iter().map(of).collect())
    }

    fn beside(&self, nobody: &Self) -> Cost {
        let less = |name| self.spread(|run| micros(run, name)).median - nobody.spread(|run| micros(run, name)).median;
        Cost {
            rate: self.rate,
            batch: self.batch,
            client: self.client,
            acknowledged: self.driven.iter().map(|run| run.acknowledged).sum(),
            failed: self.driven.iter().map(|run| run.failed).sum(),
            process_us: self.spread(|run| micros(run, GENERATOR)),
            client_us: less(GENERATOR),
            broker_us: less("kafka"),
            p50_ms: self.spread(|run| run.p50_ms),
            p99_ms: self.spread(|run| run.p99_ms),
        }
    }
}

/// µs of processor time an event that was offered.
fn micros(driven: &Driven, component: &str) -> f64 {
    let used = driven.cpu.get(component).copied().unwrap_or(0);
    used as f64 / (driven.acknowledged + driven.failed).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Usage;

    #[test]
    fn what_nobody_uses_is_taken_off() {
        let runs = |client, process: [u64; 3], broker: u64| Runs {
            client,
            rate: 500,
            batch: 1,
            driven: process
                .map(|own| Driven {
                    acknowledged: 99,
                    failed: 1,
                    seconds: 1.0,
                    cpu: Usage::from([(GENERATOR.to_owned(), own), ("kafka".to_owned(), broker)]),
                    p50_ms: 2.0,
                    p99_ms: 3.0,
                })
                .into(),
        };
        let nobody = runs(Client::Nobody, [100, 300, 200], 50);
        let cost = runs(Client::Krafka, [1_000, 9_000, 2_000], 450).beside(&nobody);
        assert_eq!((cost.acknowledged, cost.failed), (297, 3));
        assert_eq!(cost.process_us, Spread { median: 20.0, min: 10.0, max: 90.0 });
        assert_eq!((cost.client_us, cost.broker_us), (18.0, 4.0));
    }
}
