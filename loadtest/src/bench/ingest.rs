//! What taking an event costs: a closed loop over keep-alive connections, singles or batches. Invariant: the worker stands still
//! meanwhile, so its share and Postgres's are not in the figures.

use std::time::Duration;

use super::arm::{Arm, Sample};
use super::load::Load;
use crate::generate::Pace;
use crate::stack::Stack;

/// Load on the door of a stack.
pub struct Ingest<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// Name in tables.
    pub name: String,
    /// Events of a batch; singles when absent.
    pub batch: Option<u32>,
    /// Connections that send.
    pub connections: usize,
    /// Length of a round.
    pub run_for: Duration,
}

impl Arm for Ingest<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn round(&mut self) -> anyhow::Result<Sample> {
        let mut load = Load {
            name: self.name.clone(),
            peer: self.stack.address(),
            key: self.stack.key(),
            meter: self.stack.meter(),
            accounts: None,
            batch: self.batch,
            pace: Pace::Closed { run_for: self.run_for },
            connections: self.connections,
            latencies: Vec::new(),
        };
        load.round()
    }
}
