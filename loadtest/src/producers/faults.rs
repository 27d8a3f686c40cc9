//! What becomes of records while brokers fail. Invariant: both clients run beside each other on the same brokers, so that the fault is
//! the same to the moment, and every record of their topics is read back.

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use weir::config::{Config, KafkaConfig};
use weir::kafka::Polled;
use weir::kafka::scan::{Scan, Span};
use weir_local::Kafka;

use super::Client;
use super::child::{Order, Running};
use super::judge::{Entry, Held, Verdict, judge};
use super::offer::RUN;
use crate::journal::event_number;
use crate::say;
use crate::scratch::Dir;

/// Records a second.
const RATE: u64 = 500;
/// Fair weather before and after.
const BEFORE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(8);
/// Longer than any round, brokers that start slowly included.
const AT_MOST: Duration = Duration::from_secs(180);
/// How long reading a topic may take.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// What happens to the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fault {
    /// The only one is frozen: connections stay open, nothing answers.
    Paused,
    /// The only one is killed and started again.
    Killed,
    /// One of three, which leads a third of the partitions, is killed and comes back later.
    LeaderKilled,
}

/// How they are tried.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Rounds of each fault.
    pub rounds: u32,
    /// How long a broker is frozen, or one of three away.
    pub outage: Duration,
}

/// What one client made of one fault.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    fault: Fault,
    round: u32,
    /// Which client.
    pub client: Client,
    /// What became of its records.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Faults {
    /// Freezes and kills the only broker.
    ///
    /// # Errors
    /// When the brokers or a client cannot be run.
    pub fn of_one(self, kafka: &Kafka) -> anyhow::Result<Vec<Seen>> {
        self.each(kafka, &[Fault::Paused, Fault::Killed])
    }

    /// Kills one of three brokers, another one each round.
    ///
    /// # Errors
    /// See [`Faults::of_one`].
    pub fn of_three(self, kafka: &Kafka) -> anyhow::Result<Vec<Seen>> {
        self.each(kafka, &[Fault::LeaderKilled])
    }

    fn each(self, kafka: &Kafka, faults: &[Fault]) -> anyhow::Result<Vec<Seen>> {
        let mut seen = Vec::new();
        for round in 1..=self.rounds {
            for fault in faults {
                for row in self.once(kafka, *fault, round)? {
                    say(format_args!("{row}"));
                    seen.push(row);
                }
            }
        }
        Ok(seen)
    }

    fn once(self, kafka: &Kafka, fault: Fault, round: u32) -> anyhow::Result<Vec<Seen>> {
        let dir = Dir::new("producers")?;
        let mut running = Vec::new();
        for client in Client::REAL {
            let (topic, journal) = (topic(fault, round, client), dir.path().join(client.as_str()));
            let order = Order {
                client,
                bootstrap: &kafka.bootstrap(),
                topic: &topic,
                rate: RATE,
                batch: 1,
                length: AT_MOST,
                broker: None,
                journal: Some(&journal),
            };
            let child = Running::start(&order)?;
            running.push((client, topic, child, journal));
        }
        std::thread::sleep(BEFORE);
        self.strike(kafka, fault, round)?;
        std::thread::sleep(AFTER);
        let mut seen = Vec::new();
        for (client, topic, child, journal) in running {
            child.stop().with_context(|| format!("{} under {fault:?}", client.as_str()))?;
            let entries: Vec<Entry> = serde_json::from_slice(&std::fs::read(&journal)?)?;
            let verdict = judge(&entries, read(&kafka.bootstrap(), &topic)?);
            seen.push(Seen { fault, round, client, verdict });
        }
        Ok(seen)
    }

    fn strike(self, kafka: &Kafka, fault: Fault, round: u32) -> anyhow::Result<()> {
        match fault {
            Fault::Paused => {
                kafka.pause();
                std::thread::sleep(self.outage);
                kafka.resume();
            }
            Fault::Killed => {
                kafka.kill()?;
                kafka.start()?;
            }
            Fault::LeaderKilled => {
                let broker = kafka.broker(round as usize % kafka.brokers().len());
                broker.kill()?;
                std::thread::sleep(self.outage);
                broker.start()?;
            }
        }
        Ok(())
    }
}

fn topic(fault: Fault, round: u32, client: Client) -> String {
    format!("{fault:?}.{round}.{}", client.as_str()).to_lowercase()
}

/// Everything a topic holds.
fn read(bootstrap: &str, topic: &str) -> anyhow::Result<Vec<Held>> {
    let mut config: KafkaConfig = Config::from_env().context("the service's defaults")?.kafka;
    bootstrap.clone_into(&mut config.kafka_server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut scan = Scan::start(&config, topic, Span::All, READ_WITHIN)?;
        let mut held = Vec::new();
        while let Some(record) = scan.next().await? {
            held.push(held_by(&record).context("a record in the log that nobody offered")?);
        }
        Ok(held)
    })
}

fn held_by(record: &Polled) -> Option<Held> {
    let number = event_number(RUN, std::str::from_utf8(record.header("event_id")?).ok()?)?;
    Some(Held { number, key: record.key.clone()?, partition: record.partition, offset: record.offset })
}

impl std::fmt::Display for Seen {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Verdict { offered, acknowledged, lost, misplaced, doubled, unknown, .. } = self.verdict;
        let Verdict { doubled_unknown, unknown_stored, refused, refused_stored, out_of_order, .. } = self.verdict;
        let Verdict { longest_stall_ms, longest_answer_ms, failed_answer_p50_ms, .. } = self.verdict;
        write!(
            out,
            "   {:?} {} {:<8} {acknowledged} of {offered} acknowledged: {lost} lost, {misplaced} misplaced, {doubled} doubled; {unknown} \
             unknown: {unknown_stored} stored, {doubled_unknown} doubled; {refused} refused: {refused_stored} stored; {out_of_order} out \
             of order; stall {longest_stall_ms} ms, answer {longest_answer_ms} ms, half of the failed by {failed_answer_p50_ms} ms",
            self.fault,
            self.round,
            self.client.as_str()
        )
    }
}
