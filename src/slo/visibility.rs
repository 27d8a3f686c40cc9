//! How long events take to be readable, filed where they are stored. Invariant: passes every batch and every verdict through
//! unchanged.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::event::Event;
use crate::domain::sli::{VISIBILITY, Verdict};
use crate::domain::time::Timestamp;
use crate::store::{EventSink, Progress, SetAside, WriteError, Written};
use crate::telemetry::sli::Recorder;

/// A sink that files how old newly stored events are.
pub struct Measured {
    sink: Arc<dyn EventSink>,
    recorder: Recorder,
}

impl Measured {
    /// Measures what `sink` stores.
    pub fn new(sink: Arc<dyn EventSink>, recorder: Recorder) -> Self {
        Self { sink, recorder }
    }

    fn file(&self, batch: &[Event<'_>], written: &Written, now: Timestamp) {
        for (event, _) in batch.iter().zip(&written.new).filter(|(_, new)| **new) {
            let micros = u64::try_from(now.micros_since(event.received_at)).unwrap_or_default();
            let took = Duration::from_micros(micros);
            self.recorder.record(now, VISIBILITY, Some(&event.account_id), (Verdict::Good, took));
        }
    }
}

impl EventSink for Measured {
    fn write<'a>(
        &'a self,
        batch: &'a [Event<'a>],
        progress: &'a [Progress],
    ) -> BoxFuture<'a, Result<Written, WriteError>> {
        Box::pin(async move {
            let written = self.sink.write(batch, progress).await?;
            self.file(batch, &written, Timestamp::now());
            Ok(written)
        })
    }

    fn expect_repeats(&self) {
        self.sink.expect_repeats();
    }

    fn index<'a>(&'a self, letters: &'a [SetAside]) -> BoxFuture<'a, Result<(), WriteError>> {
        self.sink.index(letters)
    }
}
