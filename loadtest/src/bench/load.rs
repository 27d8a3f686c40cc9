//! A load whose cost is read. Invariant: a round in which not everything was taken is no round, since an error is cheaper than an
//! event.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;

use super::arm::{Arm, Sample};
use crate::cpu::{self, Meter};
use crate::generate::{self, Key, Mix, Pace, Percentiles, Plan, Signer};

/// The same accounts, events and patience for whoever takes them.
#[derive(Debug, Clone)]
pub struct Load {
    /// Name in tables.
    pub name: String,
    /// Who takes events.
    pub peer: SocketAddr,
    /// Signs tokens it takes.
    pub key: Key,
    /// Whose processor time counts.
    pub meter: Meter,
    /// Events of a batch; singles when absent.
    pub batch: Option<u32>,
    /// Beginning of the names of the accounts, the same in every round, and how many they are; 64 new ones a round when absent.
    pub accounts: Option<(&'static str, usize)>,
    /// Closed or open.
    pub pace: Pace,
    /// Connections that send.
    pub connections: usize,
    /// From the due time to the answer, by round: of an open loop only.
    pub latencies: Vec<Percentiles>,
}

impl Arm for Load {
    fn name(&self) -> &str {
        &self.name
    }

    fn round(&mut self) -> anyhow::Result<Sample> {
        let plan = Plan {
            peer: self.peer,
            pace: self.pace.clone(),
            mix: Mix::Uniform,
            accounts: self.accounts.map_or(64, |(_, count)| count),
            batch: self.batch,
            connections: self.connections,
            retries: 0,
            timeout: Duration::from_secs(17),
            journal: None,
        };
        let signer = Signer::new(&self.key, "weir-local", "weir")?;
        let before = self.meter.read();
        let running = match self.accounts {
            Some((prefix, _)) => generate::start_as(prefix, plan, &signer)?,
            None => generate::start(plan, &signer)?,
        };
        let report = running.join()?;
        let cpu = cpu::between(&before, &self.meter.read());
        ensure!(
            report.error_share == 0.0 && report.outcomes.limited == 0,
            "{}: not all was taken\n{report}",
            self.name
        );
        if matches!(self.pace, Pace::Open(_)) {
            self.latencies.push(report.latency);
        }
        Ok(Sample { events: report.outcomes.accepted, seconds: report.seconds, cpu })
    }
}
