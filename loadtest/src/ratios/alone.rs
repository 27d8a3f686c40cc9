//! A part of a request in a loop of its own, in this process. Invariant: it runs long enough for the kernel's tick of 10 ms to be one
//! hundredth, and all of this process's time is charged to it.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::bench::Sample;
use crate::cpu::{self, Usage};

/// How long a round is at least.
const LEAST: Duration = Duration::from_secs(1);

/// Takes turns until the time is over; `turn` answers how many calls it made, and the clock is looked at between two of them.
pub(super) fn alone(runtime: &Runtime, mut turn: impl AsyncFnMut() -> anyhow::Result<u64>) -> anyhow::Result<Sample> {
    let (used, begun) = (cpu::of_self(), Instant::now());
    let events = runtime.block_on(async {
        let mut calls = 0;
        while begun.elapsed() < LEAST {
            calls += turn().await?;
        }
        anyhow::Ok(calls)
    })?;
    let cpu = Usage::from([("api".to_owned(), cpu::of_self() - used)]);
    Ok(Sample { events, seconds: begun.elapsed().as_secs_f64(), cpu })
}
