//! librdkafka with nothing around it: the ceiling of taking events in batches. Invariant: settings that decide the cost (acks,
//! idempotence, linger, compression) are those of the service.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::ClientConfig;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use serde::{Deserialize, Serialize};
use weir::config::Config;

use crate::bench::{Arm, Sample};
use crate::cpu::{self, Meter, Usage};
use crate::generate::event_text;

/// How long the last acknowledgement may take.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// Keys, as many as the accounts of the other arm.
const KEYS: u64 = 64;

/// What to produce.
#[derive(Debug, clap::Args)]
pub struct Wanted {
    /// Brokers
    #[arg(long)]
    pub bootstrap: String,
    /// Topic
    #[arg(long)]
    pub topic: String,
    /// Records
    #[arg(long)]
    pub events: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Produced {
    /// Records acknowledged.
    pub acknowledged: u64,
    /// Seconds from the first record to the last acknowledgement.
    pub seconds: f64,
    /// µs of processor time in those seconds.
    pub micros: u64,
}

#[derive(Default)]
struct Counting {
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

struct Settling(Arc<Counting>);

impl rdkafka::ClientContext for Settling {}

impl ProducerContext for Settling {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.0.acknowledged } else { &self.0.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Produces at full speed in this process.
///
/// # Errors
/// When the brokers do not take everything.
pub fn produce(wanted: &Wanted) -> anyhow::Result<Produced> {
    let mut kafka = Config::from_env().context("the service's defaults")?.kafka;
    kafka.kafka_server = wanted.bootstrap.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let deadline = tokio::time::Instant::now() + SETTLED_WITHIN;
    runtime.block_on(weir::kafka::admin::ensure_topic(&kafka, &wanted.topic, deadline))?;
    let counting = Arc::new(Counting::default());
    let producer: ThreadedProducer<Settling> = ClientConfig::new()
        .set("bootstrap.servers", &wanted.bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", kafka.kafka_linger_ms.to_string())
        .set("compression.type", &kafka.kafka_compression)
        .set("queue.buffering.max.messages", kafka.kafka_queue_records.to_string())
        .set("queue.buffering.max.kbytes", kafka.kafka_queue_kib.to_string())
        .create_with_context(Settling(Arc::clone(&counting)))?;
    producer.client().fetch_metadata(Some(&wanted.topic), Duration::from_secs(10))?;
    let (used, start) = (cpu::of_self(), Instant::now());
    for number in 0..wanted.events {
        let (key, value) = (format!("account-{}", number % KEYS), event_text(number));
        loop {
            match producer.send(BaseRecord::to(&wanted.topic).key(&key).payload(&value)) {
                Ok(()) => break,
                Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
    producer.flush(SETTLED_WITHIN)?;
    let (seconds, micros) = (start.elapsed().as_secs_f64(), cpu::of_self() - used);
    let acknowledged = counting.acknowledged.load(Ordering::Relaxed);
    ensure!(acknowledged == wanted.events, "{acknowledged} of {} records were taken", wanted.events);
    Ok(Produced { acknowledged, seconds, micros })
}

/// The arm: a process that produces so many records and ends.
pub struct RawProducer {
    /// Brokers.
    pub bootstrap: String,
    /// Topic.
    pub topic: String,
    /// Records of a round.
    pub events: u64,
    /// The broker's process.
    pub broker: Option<u32>,
}

impl Arm for RawProducer {
    fn name(&self) -> &str {
        "raw producer"
    }

    fn round(&mut self) -> anyhow::Result<Sample> {
        let meter = Meter::default().with("kafka", self.broker);
        let before = meter.read();
        let mut command = Command::new(std::env::current_exe().context("finding this binary")?);
        command.args(["ceiling", "log", "--bootstrap", &self.bootstrap, "--topic", &self.topic]);
        command.args(["--events", &self.events.to_string()]);
        let said = weir_local::command::run(&mut command, "", Duration::from_secs(300)).context("the raw producer")?;
        let produced: Produced = serde_json::from_str(said.trim()).with_context(|| format!("its answer {said:?}"))?;
        let mut cpu: Usage = cpu::between(&before, &meter.read());
        cpu.insert("api".to_owned(), produced.micros);
        Ok(Sample { events: produced.acknowledged, seconds: produced.seconds, cpu })
    }
}
