//! The path itself: the door beside an empty one, batches beside a bare producer, the worker beside COPY. Invariant: one stack, and
//! nothing but the two arms of a ratio in each other's turn.

use std::path::Path;
use std::time::Duration;

use super::table::{Entry, Goal};
use crate::bench::{Drain, Ingest, Measured, empty_backlog, interleave};
use crate::ceilings::{Door, Kind, RawCopy, RawProducer};
use crate::stack::Stack;

/// How long things run.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    /// Rounds that count, after one that warms up.
    pub rounds: u32,
    /// A closed loop.
    pub run_for: Duration,
    /// Connections that send.
    pub connections: usize,
    /// Events of a round of drain, COPY and raw producer.
    pub events: u64,
}

/// R1, R3 and R4.
#[derive(Debug)]
pub struct Core {
    /// Singles and the empty handler.
    pub door: Vec<Measured>,
    /// Batches and the raw producer.
    pub log: Vec<Measured>,
    /// Drain and COPY.
    pub sink: Vec<Measured>,
}

impl Core {
    /// Measures on a stack of its own.
    ///
    /// # Errors
    /// When an arm cannot be run.
    pub fn measure(weir: &Path, extra: &[(String, String)], lengths: Lengths) -> anyhow::Result<Self> {
        let stack = Stack::start(weir, extra)?;
        stack.api.start()?;
        stack.api.wait_ready()?;
        let Lengths { rounds, run_for, connections, events } = lengths;
        let ingest = |name: &str, batch| Ingest { stack: &stack, name: name.to_owned(), batch, connections, run_for };
        let mut empty = Door::start(Kind::Empty, &stack.layout("ceilings")?, connections, run_for)?;
        let door = interleave(&mut [&mut empty, &mut ingest("single", None)], rounds)?;
        drop(empty);
        let mut raw = RawProducer {
            bootstrap: stack.engines.kafka.bootstrap(),
            topic: "raw-producer".to_owned(),
            events,
            broker: stack.engines.kafka.broker(0).pid(),
        };
        let log = interleave(&mut [&mut raw, &mut ingest("batch of 100", Some(100))], rounds)?;
        empty_backlog(&stack)?;
        // The worker first: what COPY puts back is what it stored.
        let (mut drain, mut copy) = (Drain { stack: &stack, events }, RawCopy { stack: &stack, events });
        let sink = interleave(&mut [&mut drain, &mut copy], rounds)?;
        stack.stop()?;
        Ok(Self { door, log, sink })
    }

    /// The ratios.
    pub fn entries(&self) -> Vec<(&'static str, Entry)> {
        let ([empty, single], [raw, batch], [drain, copy]) = (&self.door[..], &self.log[..], &self.sink[..]) else {
            return Vec::new();
        };
        let (api, sink) = (&["api"][..], &["worker", "postgres"][..]);
        let entry = Entry::of_cost;
        vec![
            (
                "R1",
                entry("empty poem handler ÷ POST /v1/events", Goal::at_least(0.60, 0.70), (empty, api), (single, api)),
            ),
            ("R3", entry("raw producer ÷ batches of 100", Goal::at_least(0.45, 0.60), (raw, api), (batch, api))),
            ("R4", entry("raw binary COPY ÷ worker", Goal::at_least(0.55, 0.80), (copy, sink), (drain, sink))),
        ]
    }
}
