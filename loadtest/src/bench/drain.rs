//! What storing an event costs: the worker is started on a topic that was filled while it stood still. Invariant: a round ends
//! when the last row is there, and nothing is taken in meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::arm::{Arm, Sample};
use crate::cpu;
use crate::generate::{self, Mix, Pace, Plan, Profile, Schedule};
use crate::stack::{Stack, Watch};

/// How long a round may take.
const DRAINED_WITHIN: Duration = Duration::from_secs(300);

/// A full topic and a worker that empties it.
pub struct Drain<'a> {
    /// The stack, its worker stopped.
    pub stack: &'a Stack,
    /// Events of a round.
    pub events: u64,
}

impl Drain<'_> {
    fn fill(&self) -> anyhow::Result<u64> {
        let plan = Plan {
            peer: self.stack.address(),
            pace: Pace::Open(Schedule::new(Profile::Steady, 400.0, 600, self.events / 100)),
            mix: Mix::Zipf,
            accounts: 64,
            batch: Some(100),
            connections: 32,
            retries: 3,
            timeout: Duration::from_secs(17),
            journal: None,
        };
        let report = generate::start(plan, &self.stack.signer()?)?.join()?;
        ensure!(report.outcomes.failed == 0 && report.outcomes.limited == 0, "the topic could not be filled\n{report}");
        Ok(report.outcomes.accepted)
    }
}

impl Arm for Drain<'_> {
    fn name(&self) -> &str {
        "drain"
    }

    fn round(&mut self) -> anyhow::Result<Sample> {
        let mut watch = Watch::open(self.stack)?;
        let before = watch.stored()?;
        let events = self.fill()?;
        self.stack.worker.start()?;
        let meter = self.stack.meter();
        // Joining the group takes seconds in which nothing is stored: the clock starts at the first row.
        let (mut used, mut start) = (meter.read(), Instant::now());
        let mut moving = false;
        let done = weir_local::poll(DRAINED_WITHIN, || {
            let stored = watch.stored().unwrap_or(before);
            if !moving {
                if stored > before {
                    moving = true;
                } else {
                    (used, start) = (meter.read(), Instant::now());
                }
            }
            (stored >= before + events).then_some(())
        });
        let seconds = start.elapsed().as_secs_f64();
        let cpu = cpu::between(&used, &meter.read());
        done.with_context(|| format!("not drained in time; end of the log:\n{}", self.stack.worker.log_tail()))?;
        self.stack.worker.stop()?;
        Ok(Sample { events, seconds, cpu })
    }
}

/// Lets the worker store what the door's arms left in the topic, so that a round of [`Drain`] finds its own events alone.
///
/// # Errors
/// When the worker does not start.
pub fn empty_backlog(stack: &Stack) -> anyhow::Result<()> {
    stack.worker.start()?;
    stack.worker.wait_ready()?;
    let mut last = (stack.stored()?, Instant::now());
    weir_local::poll(Duration::from_secs(900), || {
        let stored = stack.stored().unwrap_or(last.0);
        if stored != last.0 {
            last = (stored, Instant::now());
        }
        // Longer than a group takes to hand out its partitions.
        (last.1.elapsed() > Duration::from_secs(15)).then_some(())
    });
    stack.worker.stop()
}
