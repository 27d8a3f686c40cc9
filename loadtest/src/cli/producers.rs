//! `producers`: rdkafka and krafka behind the service's trait, what they cost and what becomes of records while brokers fail.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use weir_local::{Kafka, Lifetime};

use crate::producers::{Client, Cost, Costs, Faults, Seen};
use crate::ratios::Machine;
use crate::say;
use crate::scratch::Dir;

/// Options of `producers`.
#[derive(Debug, clap::Args)]
pub(super) struct ProducersArgs {
    /// Rounds of each load that count
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: u32,
    /// Seconds of a round
    #[arg(long, default_value_t = 3, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Also break brokers under 500 records/s: freeze, kill, kill a leader of three
    #[arg(long)]
    faults: bool,
    /// Break brokers and measure nothing
    #[arg(long, conflicts_with = "faults")]
    only_faults: bool,
    /// Rounds of each fault
    #[arg(long, default_value_t = 1, value_name = "N")]
    fault_rounds: u32,
    /// File for the figures
    #[arg(long, default_value = "loadtest/out/producers.json", value_name = "FILE")]
    json: PathBuf,
}

#[derive(Debug, Serialize)]
struct Figures {
    machine: Machine,
    costs: Vec<Cost>,
    faults: Vec<Seen>,
}

/// How long a broker is frozen, or one of three away.
const OUTAGE: Duration = Duration::from_secs(3);

impl ProducersArgs {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        let mut figures = Figures { machine: Machine::read(), costs: Vec::new(), faults: Vec::new() };
        say(format_args!("{}", figures.machine));
        let faults = Faults { rounds: self.fault_rounds, outage: OUTAGE };
        let broken = self.faults || self.only_faults;
        on_brokers(1, |kafka| {
            if !self.only_faults {
                let costs = Costs { rounds: self.rounds, length: Duration::from_secs(self.seconds) };
                figures.costs = costs.run(kafka)?;
            }
            if broken {
                figures.faults = faults.of_one(kafka)?;
            }
            Ok(())
        })?;
        if broken {
            on_brokers(3, |kafka| {
                figures.faults.extend(faults.of_three(kafka)?);
                Ok(())
            })?;
        }
        figures.costs.iter().for_each(print);
        super::write_json(&self.json, &figures)?;
        let honest =
            |client| figures.faults.iter().filter(|seen| seen.client == client).all(|seen| seen.verdict.honest());
        if broken {
            for client in Client::REAL {
                let word = if honest(client) { "so it is" } else { "it is NOT so" };
                say(format_args!("what {} says of a record while brokers fail: {word}", client.as_str()));
            }
        }
        // The comparison is done whatever krafka says; the promise is that of the service's own client.
        Ok(honest(Client::Rdkafka))
    }
}

/// Private brokers for as long as `work` takes.
fn on_brokers(brokers: usize, work: impl FnOnce(&Kafka) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let dir = Dir::new("producers-engines")?;
    let kafka = Kafka::start_in(dir.path(), brokers, (None, None), Lifetime::WithParent)?;
    let done = work(&kafka);
    kafka.stop()?;
    done
}

fn print(cost: &Cost) {
    let Cost { rate, batch, client, client_us, broker_us, p50_ms, p99_ms, .. } = cost;
    say(format_args!(
        "{rate:>6}/s by {batch:<3} {:<8} client {client_us:>6.2} us, broker {broker_us:>6.2} us an event, acknowledged in {:.1} / {:.1} ms (p50 / p99), {} failed",
        client.as_str(),
        p50_ms.median,
        p99_ms.median,
        cost.failed,
    ));
}
