//! One client under load, in a process of its own. Invariant: processor time and answers are those of the counted stretch, after a
//! short one that warms up.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use weir::config::{Config, KafkaConfig};

use super::child::READY;
use super::judge::{Entry, Outcome};
use super::offer::{Answer, Offer};
use super::{Client, open};
use crate::cpu::{self, Meter, Usage};
use crate::generate::{Latency, Percentiles};
use crate::say;

/// Offered before anything is counted.
const WARM: Duration = Duration::from_millis(400);

/// What to offer to whom.
#[derive(Debug, clap::Args)]
pub struct Wanted {
    /// Who takes it
    #[arg(long, value_enum)]
    pub client: Client,
    /// Brokers
    #[arg(long)]
    pub bootstrap: String,
    /// Topic
    #[arg(long)]
    pub topic: String,
    /// Records a second
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,
    /// Records of a call
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub batch: u64,
    /// Milliseconds at most; standard input that ends, ends it too
    #[arg(long)]
    pub millis: u64,
    /// The broker's process, whose processor time is read along
    #[arg(long)]
    pub broker: Option<u32>,
    /// File for what became of each record
    #[arg(long)]
    pub journal: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Driven {
    /// Records acknowledged.
    pub(super) acknowledged: u64,
    /// Records not acknowledged.
    pub(super) failed: u64,
    /// Seconds from the first to the last answer.
    pub(super) seconds: f64,
    /// µs of processor time of this process and of the broker.
    pub(super) cpu: Usage,
    /// Milliseconds from when a call was due to its answer: half of them took no longer.
    pub(super) p50_ms: f64,
    /// The same for 99 of 100.
    pub(super) p99_ms: f64,
}

/// Offers the load in this process and prints what came of it as JSON.
///
/// # Errors
/// When the brokers do not answer at the start, or the journal cannot be written.
pub fn drive(wanted: &Wanted) -> anyhow::Result<()> {
    let mut kafka = Config::from_env().context("the service's defaults")?.kafka;
    kafka.kafka_server.clone_from(&wanted.bootstrap);
    kafka.kafka_topic.clone_from(&wanted.topic);
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    std::thread::Builder::new().name("end-of-input".into()).spawn(move || {
        // Whether it ended well or not, nobody waits for more.
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        told.store(true, Ordering::Relaxed);
    })?;
    // Like the service's. A worker drives and not this thread, or every answer would have to cross over to it.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let offered = Offered { client: wanted.client, kafka, stop };
    let (rate, batch, length, broker) =
        (wanted.rate, wanted.batch, Duration::from_millis(wanted.millis), wanted.broker);
    let (driven, answers) =
        runtime.block_on(runtime.spawn(async move { offered.run(rate, batch, length, broker).await }))??;
    if let Some(file) = &wanted.journal {
        let entries: Vec<Entry> = answers.iter().flat_map(entries).collect();
        std::fs::write(file, serde_json::to_vec(&entries)?).with_context(|| format!("writing {}", file.display()))?;
    }
    say(format_args!("{}", serde_json::to_string(&driven)?));
    // What is still in flight was told as unknown; its process need not wait for it.
    runtime.shutdown_background();
    Ok(())
}

struct Offered {
    client: Client,
    kafka: KafkaConfig,
    stop: Arc<AtomicBool>,
}

impl Offered {
    async fn run(
        &self,
        rate: u64,
        batch: u64,
        length: Duration,
        broker: Option<u32>,
    ) -> anyhow::Result<(Driven, Vec<Answer>)> {
        let (kafka, topic) = (&self.kafka, Arc::from(self.kafka.kafka_topic.as_str()));
        let publisher = open(self.client, kafka).await?;
        let offer = Offer { publisher, topic, rate, batch, patience: kafka.ack_timeout() };
        let first = batch * (WARM.as_micros() as u64 * rate / (1_000_000 * batch));
        let warm = offer.run(0, WARM, &self.stop).await;
        say(format_args!("{READY}"));
        let meter = Meter::default().with("kafka", broker);
        let (before, start) = (meter.read(), Instant::now());
        let counted = offer.run(first, length, &self.stop).await;
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu::between(&before, &meter.read()));
        let driven = summed(&counted, seconds, cpu);
        // On the clock of the counted stretch, the warm one lies before its start.
        let warm = warm.into_iter().map(|answer| Answer { due: Duration::ZERO, answered: Duration::ZERO, ..answer });
        Ok((driven, warm.chain(counted).collect()))
    }
}

fn summed(answers: &[Answer], seconds: f64, cpu: Usage) -> Driven {
    let all = answers.iter().map(|answer| answer.results.len() as u64).sum::<u64>();
    let acknowledged = answers.iter().flat_map(|answer| &answer.results).filter(|result| result.is_ok()).count() as u64;
    let mut latency = Latency::default();
    answers.iter().for_each(|answer| latency.record(micros(answer.answered.saturating_sub(answer.due))));
    let Percentiles { p50_ms, p99_ms, .. } = latency.percentiles();
    Driven { acknowledged, failed: all - acknowledged, seconds, cpu, p50_ms, p99_ms }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn entries(answer: &Answer) -> impl Iterator<Item = Entry> {
    (answer.first..).zip(&answer.results).map(move |(number, result)| Entry {
        number,
        due_us: micros(answer.due),
        answered_us: micros(answer.answered),
        outcome: Outcome::of(result),
    })
}
