//! The producer's watcher: a thread that opens the breaker when the log is away, probes for its return, and replaces a producer
//! that cannot go on. Invariant: the breaker opens on evidence only (no answer to a probe, or no acknowledgement for a whole
//! ack timeout), and never closes but by an acknowledgement.
//!
//! Two signs of loss: librdkafka has no broker left (a killed broker, at once), or records wait and nothing is acknowledged
//! for `WEIR_KAFKA_STALL_MS` (a paused or unreachable one). Either makes the watcher ask for metadata; no answer opens the breaker.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::producer::Producer as _;

use super::breaker::State;
use super::metrics;
use super::producer::{Inner, Producer, ProducerError, ask, make};
use super::pulse::Stall;

/// Distance between rounds.
const ROUND: Duration = Duration::from_millis(100);

/// How long a probe waits when librdkafka says that no broker is left: one that is there would answer sooner.
const PROBE_DOWN: Duration = Duration::from_millis(250);

/// Distance between probes while the log is away.
const REPROBE: Duration = Duration::from_millis(250);

/// Starts the thread; it ends when the producer is dropped.
pub(super) fn start(producer: &Arc<Producer>) -> std::io::Result<()> {
    let weak = Arc::downgrade(producer);
    let handle = std::thread::Builder::new().name("weir-log-watch".to_owned()).spawn(move || watch(&weak))?;
    producer.shared.watcher.get_or_init(|| handle.thread().clone());
    Ok(())
}

fn watch(producer: &Weak<Producer>) {
    let mut stall = Stall::new(Instant::now());
    let mut probed = Instant::now();
    // A cluster that answers metadata but takes no records goes to and fro between open and trial: said once.
    let mut said_away = false;
    loop {
        std::thread::park_timeout(ROUND);
        let Some(producer) = producer.upgrade() else { return };
        if producer.shared.pulse.fatal.load(Ordering::Relaxed) {
            rebuild(&producer);
        } else if producer.is_away() {
            if probed.elapsed() >= REPROBE {
                look_for_return(&producer, &mut stall);
                probed = Instant::now();
            }
        } else {
            if said_away && producer.shared.breaker.state() == State::Closed {
                said_away = false;
                tracing::info!("the log takes records again");
            }
            if let Some(error) = look_for_loss(&producer, &mut stall) {
                producer.shared.breaker.open();
                if !std::mem::replace(&mut said_away, true) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "the log is away: publishes are refused until it returns");
                }
            }
        }
    }
}

/// What shows that the log is away, if anything does.
fn look_for_loss(producer: &Producer, stall: &mut Stall) -> Option<ProducerError> {
    let patience = producer.config.stall();
    let stalled = stall.observe(&producer.shared.pulse, Instant::now());
    let all_down = producer.shared.pulse.all_down.swap(false, Ordering::Relaxed);
    if !all_down && stalled < patience {
        return None;
    }
    let error = match probe(producer, if all_down { PROBE_DOWN } else { patience }) {
        Err(error) => error,
        Ok(()) if stalled >= producer.config.ack_timeout() => ProducerError::NoAcknowledgement,
        Ok(()) => return None,
    };
    // The probe took time: an acknowledgement since then says more than it.
    let moved = stalled >= patience && stall.observe(&producer.shared.pulse, Instant::now()).is_zero();
    (!moved).then_some(error)
}

fn look_for_return(producer: &Producer, stall: &mut Stall) {
    if probe(producer, producer.config.stall()).is_err() {
        return;
    }
    producer.shared.pulse.all_down.store(false, Ordering::Relaxed);
    stall.reset(Instant::now());
    if producer.shared.breaker.change(State::Open, State::Trial) {
        tracing::debug!("the log answers again: publishes are let through on trial");
    }
}

/// Whether the brokers answer. A missing topic is a mistake in the set-up, not a log that is away.
fn probe(producer: &Producer, deadline: Duration) -> Result<(), ProducerError> {
    match ask(&producer.inner.load(), &producer.config.kafka_topic, deadline) {
        Err(ProducerError::NoTopic(_)) => Ok(()),
        answer => answer.map(drop),
    }
}

/// Puts a new producer in the place of one with a fatal error (the idempotent producer lost its place in a sequence). What the
/// old one still held ends as unknown; clients send it again and the event id absorbs what was stored.
fn rebuild(producer: &Producer) {
    producer.shared.breaker.open();
    match make(&producer.config, &producer.shared) {
        Ok(inner) => {
            let reason = fatal_reason(&producer.inner.load());
            drop(producer.inner.swap(Arc::new(inner)));
            producer.shared.pulse.fatal.store(false, Ordering::Relaxed);
            metrics::producer_rebuilt();
            tracing::error!(reason, "the producer could not go on and was replaced");
        }
        Err(error) => {
            tracing::error!(%error, "the producer could not go on and cannot be replaced; trying again");
            std::thread::sleep(REPROBE);
        }
    }
}

/// The library's own words on a fatal error.
fn fatal_reason(inner: &Inner) -> String {
    inner.client().fatal_error().map_or_else(|| "none given".to_owned(), |(code, text)| format!("{code}: {text}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use crate::config::Config;
    use crate::kafka::{Producer, Publish, Record};

    /// Publishes until the log takes a record, at most for ten seconds; returns how often it did not.
    async fn refusals_until_taken(producer: &Producer, topic: &str) -> Option<usize> {
        for refused in 0..200 {
            let record = Record { topic: topic.into(), key: None, value: Some("x".into()), headers: Vec::new() };
            let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
            if producer.publish(vec![record], deadline).await[0].is_ok() {
                return Some(refused);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_producer_with_a_fatal_error_is_replaced() {
        let cluster = MockCluster::new(1).expect("mock cluster");
        let mut config = Config::from_env().expect("defaults").kafka;
        config.kafka_server = cluster.bootstrap_servers();
        cluster.create_topic(&config.kafka_topic, 1, 1).expect("topic");
        // An idempotent producer that may not have an id cannot go on: fatal for librdkafka.
        let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
        cluster.request_errors(RDKafkaApiKey::InitProducerId, &[refused]);
        let producer = Producer::start(&config).expect("producer");
        let refusals = refusals_until_taken(&producer, &config.kafka_topic).await;
        assert!(refusals.is_some_and(|refusals| refusals > 0), "{refusals:?}");
        assert!(super::metrics::producers_rebuilt() > 0);
    }
}
