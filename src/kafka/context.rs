//! librdkafka's callbacks of the producer. Invariant: a delivery report costs a few atomic writes and, for the last record of a
//! request, one wake-up; never a lock, an allocation or a log line.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::thread::Thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

use super::breaker::Breaker;
use super::metrics;
use super::pulse::Pulse;
use super::tracker::{Ticket, Verdict};

/// What the callbacks share with the producer and its watcher.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pulse: Pulse,
    pub(super) breaker: Breaker,
    /// The watcher, to be woken when there is something to look at before its next round.
    pub(super) watcher: OnceLock<Thread>,
}

impl Shared {
    pub(super) fn wake_watcher(&self) {
        if let Some(thread) = self.watcher.get() {
            thread.unpark();
        }
    }
}

/// The producer's callbacks.
pub(super) struct Callbacks(pub(super) Arc<Shared>);

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_library_line(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        metrics::queue(statistics.msg_cnt, statistics.msg_size);
        // Bootstrap addresses have no id: each is a second name of a broker that is counted by its own.
        let brokers: Vec<_> = statistics.brokers.values().filter(|broker| broker.nodeid >= 0).collect();
        let up = brokers.iter().filter(|broker| broker.state == "UP").count();
        let slowest = brokers.iter().filter_map(|broker| u64::try_from(broker.rtt.as_ref()?.p99).ok()).max();
        metrics::brokers(up, brokers.len() - up, slowest.map(Duration::from_micros));
    }

    /// Neither of the two that matter is logged here: the watcher looks into them and says what it found.
    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.0.pulse.all_down.store(true, Ordering::Relaxed),
            Some(RDKafkaErrorCode::Fatal) => self.0.pulse.fatal.store(true, Ordering::Relaxed),
            _ => return tracing::debug!(%error, reason, "producer error"),
        }
        self.0.wake_watcher();
    }
}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        match result {
            Ok(message) => {
                self.0.pulse.acked.fetch_add(1, Ordering::Relaxed);
                self.0.breaker.acknowledged();
                ticket.acknowledge(message.partition(), message.offset());
            }
            Err((error, _)) => {
                self.0.pulse.failed.fetch_add(1, Ordering::Relaxed);
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                if code == RDKafkaErrorCode::Fatal {
                    self.0.pulse.fatal.store(true, Ordering::Relaxed);
                    self.0.wake_watcher();
                }
                ticket.settle(Verdict::of(code));
            }
        }
    }
}

/// The callbacks of clients whose errors come back as results: scans and administration.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_library_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "client error");
    }
}

impl ConsumerContext for Quiet {}

/// librdkafka repeats itself at every reconnect; what an operator must know is logged by the watcher and the consumer.
pub(super) fn log_library_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::debug!(facility, message, "librdkafka"),
        _ => tracing::trace!(facility, message, "librdkafka"),
    }
}
