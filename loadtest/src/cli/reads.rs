//! `reads`: what questions cost beside a very large account.

use std::path::PathBuf;
use std::time::Duration;

use crate::reads::{Lengths, Size, measure, seed, wait_for_sketches};
use crate::say;
use crate::stack::{Stack, weir_binary};

/// Options of `reads`.
#[derive(Debug, clap::Args)]
pub(super) struct ReadsArgs {
    /// The binary under test; `weir` beside this one when absent
    #[arg(long, value_name = "FILE")]
    weir: Option<PathBuf>,
    /// Events of the large account
    #[arg(long, default_value_t = 10_000_000, value_name = "N")]
    events: u64,
    /// Its users
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    users: u64,
    /// Seconds of a closed loop
    #[arg(long, default_value_t = 5, value_name = "S")]
    seconds: u64,
    /// Seconds of writes, with and without questions beside them
    #[arg(long, default_value_t = 20, value_name = "S")]
    beside: u64,
    /// Turns of the two halves of a ratio
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// File for the figures
    #[arg(long, default_value = "loadtest/out/reads.json", value_name = "FILE")]
    json: PathBuf,
}

impl ReadsArgs {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        let stack = Stack::start(&weir_binary(self.weir)?, &[])?;
        let size = Size::of(self.events.max(1), self.users.max(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(seed(&stack, size))?;
        stack.serve()?;
        runtime.block_on(wait_for_sketches(&stack, size))?;
        let [closed, beside] = [self.seconds, self.beside].map(Duration::from_secs);
        let lengths = Lengths { closed, beside, rounds: self.rounds };
        let figures = measure(&stack, size, lengths)?;
        stack.stop()?;
        let gates = [
            ("cached summary ÷ empty GET", figures.cached_to_empty.median, 0.75, true),
            ("rollup summary ÷ one event", figures.rollup_to_one_event.median, 0.4, true),
            ("write p99 beside ÷ alone", figures.write_p99_grows.median, 1.25, false),
            ("large summary, cached, p99 ms", figures.large_cached_summary.latency.p99_ms, 300.0, false),
            ("large summary, computed, p99 ms", figures.large_summary.latency.p99_ms, 1_000.0, false),
            ("door to frame, p95 ms", figures.frames.p95_ms, 250.0, false),
            ("large summary, odd ends, p99 ms", figures.large_odd_summary.latency.p99_ms, 1_000.0, false),
        ];
        let mut held = true;
        for (name, figure, gate, at_least) in gates {
            let met = if at_least { figure >= gate } else { figure <= gate };
            held &= met;
            let (sign, word) = (if at_least { '≥' } else { '≤' }, if met { "held" } else { "missed" });
            say(format_args!("{name:<34}{figure:>9.2}  {sign} {gate:<7} {word}"));
        }
        super::write_json(&self.json, &figures)?;
        Ok(held)
    }
}
