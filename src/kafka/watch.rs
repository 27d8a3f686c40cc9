//! The producer's watcher: a thread that opens the breaker when the log is away, probes for its return, and replaces a producer
//! that cannot go on. Invariant: the breaker opens on evidence only (no answer to a probe, or no acknowledgement for a whole
//! ack timeout), and never closes but by an acknowledgement.
//!
//! Two signs of loss: librdkafka has no broker left (a killed broker, at once), or records wait and nothing is acknowledged
//! for [`STALLED`] (a paused or unreachable one). Either makes the watcher ask for metadata; no answer opens the breaker.

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

/// How long waiting records may see no acknowledgement before the watcher asks; above what a far or busy broker needs.
const STALLED: Duration = Duration::from_millis(600);

/// How long a probe waits. With [`STALLED`] and a round it stays under the two seconds in which a loss must be known.
const PROBE: Duration = Duration::from_millis(600);

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
            look_for_loss(&producer, &mut stall);
        }
    }
}

fn look_for_loss(producer: &Producer, stall: &mut Stall) {
    let stalled = stall.observe(&producer.shared.pulse, Instant::now());
    let all_down = producer.shared.pulse.all_down.swap(false, Ordering::Relaxed);
    if !all_down && stalled < STALLED {
        return;
    }
    let answer = probe(producer, if all_down { PROBE_DOWN } else { PROBE });
    let evidence = match answer {
        Err(error) => Some(error),
        Ok(()) if stalled >= producer.config.ack_timeout() => Some(ProducerError::Away),
        Ok(()) => None,
    };
    let Some(error) = evidence else { return };
    // The probe took time: an acknowledgement since then says more than it.
    let moved = stall.observe(&producer.shared.pulse, Instant::now()).is_zero() && stalled >= STALLED;
    if !moved && producer.shared.breaker.open() {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%error, cause, stalled_ms = stalled.as_millis() as u64, "the log is away: publishes are refused until it returns");
    }
}

fn look_for_return(producer: &Producer, stall: &mut Stall) {
    if probe(producer, PROBE).is_err() {
        return;
    }
    producer.shared.pulse.all_down.store(false, Ordering::Relaxed);
    stall.reset(Instant::now());
    if producer.shared.breaker.change(State::Open, State::Trial) {
        tracing::info!("the log answers again: publishes are let through on trial");
    }
}

/// Whether the brokers answer. A missing topic is a mistake in the set-up, not a log that is away.
fn probe(producer: &Producer, deadline: Duration) -> Result<(), ProducerError> {
    match ask(&producer.inner.load(), &producer.config.kafka_topic, deadline) {
        Err(ProducerError::NoTopic(_)) => Ok(()),
        answer => answer,
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
