//! What taking an event costs: a closed loop over keep-alive connections, singles or batches. Invariant: the worker stands still
//! meanwhile, so its share and Postgres's are not in the figures.

use std::time::Duration;

use anyhow::ensure;

use super::arm::{Arm, Sample};
use crate::cpu;
use crate::generate::{self, Mix, Pace, Plan};
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
        let plan = Plan {
            peer: self.stack.address(),
            pace: Pace::Closed { run_for: self.run_for },
            mix: Mix::Uniform,
            accounts: 64,
            batch: self.batch,
            connections: self.connections,
            retries: 0,
            timeout: Duration::from_secs(17),
            journal: None,
        };
        let meter = self.stack.meter();
        let before = meter.read();
        let report = generate::start(plan, &self.stack.signer()?)?.join()?;
        let cpu = cpu::between(&before, &meter.read());
        // An error is cheaper than an event: a figure that contains some is none.
        ensure!(
            report.error_share == 0.0 && report.outcomes.limited == 0,
            "{}: not all was taken\n{report}",
            self.name
        );
        Ok(Sample { events: report.outcomes.accepted, seconds: report.seconds, cpu })
    }
}
