//! What questions cost, on one private stack with one very large account. Steps: seed → sketches → closed loops side by side →
//! questions beside writes. Invariant: the two halves of a ratio take turns, and the round in the middle is told, so a slow machine shows in both.

mod ask;
mod frames;
mod seed;

use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;

pub use ask::{Asked, ask, every};
pub use frames::frames;
pub use seed::{Size, seed, wait_for_sketches};

use crate::generate::{self, Mix, Pace, Percentiles, Plan, Profile, Schedule};
use crate::say;
use crate::stack::Stack;

/// The account that is seeded.
pub const WHALE: &str = "whale";

/// How long each part runs.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    /// A closed loop.
    pub closed: Duration,
    /// A run of writes, with and without questions beside it.
    pub beside: Duration,
    /// Turns of the two halves of a ratio.
    pub rounds: usize,
}

/// The figures of a run.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// The account.
    pub size: Size,
    /// An answer that needs nothing but the door.
    pub empty_get: Asked,
    /// One summary over and over: both caches.
    pub cached_summary: Asked,
    /// The large account's cached summary.
    pub large_cached_summary: Asked,
    /// Events by primary key.
    pub one_event: Asked,
    /// Summaries of a small account, each another question: few events, so by one look at them.
    pub rollup_summary: Asked,
    /// The same of an account of 10,000 events, from counts.
    pub middle_summary: Asked,
    /// The large account's summary of whole buckets, computed each time.
    pub large_summary: Asked,
    /// The same with both ends in the middle of a bucket.
    pub large_odd_summary: Asked,
    /// Writes by themselves.
    pub writes_alone: Percentiles,
    /// Writes beside 20 summaries a second of the large account, computed each time.
    pub writes_beside: Percentiles,
    /// From the door to a live stream, at 5,000 events a second.
    pub frames: Percentiles,
    /// `cached_summary` ÷ `empty_get`, by rate.
    pub cached_to_empty: Ratio,
    /// `rollup_summary` ÷ `one_event`, by rate.
    pub rollup_to_one_event: Ratio,
    /// p99 of `writes_beside` ÷ that of `writes_alone`.
    pub write_p99_grows: Ratio,
}

/// What two halves that took turns say.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Ratio {
    /// The middle round's.
    pub median: f64,
    /// The least and the greatest.
    pub spread: [f64; 2],
}

/// Lets two halves take turns; those of the middle round by their ratio, and what all rounds say.
fn turns<T: Copy>(
    rounds: usize,
    mut first: impl FnMut() -> anyhow::Result<T>,
    mut second: impl FnMut() -> anyhow::Result<T>,
    ratio: impl Fn(&T, &T) -> f64,
) -> anyhow::Result<(T, T, Ratio)> {
    let mut seen = Vec::new();
    for _ in 0..rounds.max(1) {
        let (one, other) = (first()?, second()?);
        seen.push((ratio(&one, &other), one, other));
    }
    seen.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
    let (median, one, other) = seen[(seen.len() - 1) / 2];
    let spread = [seen[0].0, seen[seen.len() - 1].0];
    Ok((one, other, Ratio { median, spread }))
}

/// Measures; the stack serves and holds the seeded account.
///
/// # Errors
/// When a question is refused or lost: a figure that contains such is none.
pub fn measure(stack: &Stack, size: Size, lengths: Lengths) -> anyhow::Result<Figures> {
    let summary = |account: &str, query: String| format!("/v1/accounts/{account}/summary{query}");
    let (from, to) = (size.from, size.from + size.seconds);
    let window = |from: i64, to: i64, top: u64| format!("?from={from}&to={to}&top={top}");
    // Whole buckets; another number of users is another answer.
    let large = move |n: u64| summary(WHALE, window(from, to - 1 - 900 * (n as i64 / 100 % 8), 1 + n % 100));
    let odd = move |n: u64| summary(WHALE, window(from + 1 + n as i64 % 400, to - 400 + n as i64 / 400 % 400, 10));
    let day =
        move |account: &str, n: u64| summary(account, window(from, to - 1 - 900 * (n as i64 / 100 % 80), 1 + n % 100));
    let closed = |name: &str, account: &str, connections, path: &(dyn Fn(u64) -> String + Sync)| {
        let asked = ask(stack, account, connections, lengths.closed, path)?;
        say(format_args!(
            "{name:<22}{:>9.0}/s  p50 {:>7.1} ms  p99 {:>7.1} ms",
            asked.per_second, asked.latency.p50_ms, asked.latency.p99_ms
        ));
        anyhow::Ok(asked)
    };
    let by_rate = |one: &Asked, other: &Asked| other.per_second / one.per_second;
    let (empty_get, cached_summary, cached_to_empty) = turns(
        lengths.rounds,
        || closed("empty GET", seed::SMALL, 16, &|_| "/health".to_owned()),
        || closed("cached summary", seed::SMALL, 16, &|_| summary(seed::SMALL, String::new())),
        by_rate,
    )?;
    let large_cached_summary = closed("large, cached", WHALE, 16, &|_| summary(WHALE, window(from, to - 1, 10)))?;
    let (one_event, rollup_summary, rollup_to_one_event) = turns(
        lengths.rounds,
        || closed("one event", seed::SMALL, 4, &|n| format!("/v1/events/small-{}", n % seed::SMALL_EVENTS)),
        || closed("rollup summary", seed::SMALL, 4, &|n| day(seed::SMALL, n)),
        by_rate,
    )?;
    let middle_summary = closed("middle, from counts", seed::MIDDLE, 4, &|n| day(seed::MIDDLE, n))?;
    let large_summary = closed("large, whole buckets", WHALE, 1, &large)?;
    let large_odd_summary = closed("large, odd ends", WHALE, 1, &odd)?;

    let questions = |n| large(n + 50);
    let beside = || beside(stack, lengths.beside, &questions);
    let alone = || writes(stack, lengths.beside, 100.0);
    let (writes_alone, writes_beside, write_p99_grows) =
        turns(lengths.rounds, alone, beside, |one, other| other.p99_ms / one.p99_ms)?;
    let frames = std::thread::scope(|scope| {
        let watching = scope.spawn(|| frames(stack, lengths.beside));
        writes(stack, lengths.beside, 250.0)?;
        watching.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?
    })?;
    say(format_args!("{} frames, p95 {:.1} ms behind the door", frames.count, frames.p95_ms));
    Ok(Figures {
        size,
        frames,
        cached_to_empty,
        rollup_to_one_event,
        write_p99_grows,
        empty_get,
        cached_summary,
        large_cached_summary,
        one_event,
        rollup_summary,
        middle_summary,
        large_summary,
        large_odd_summary,
        writes_alone,
        writes_beside,
    })
}

/// Writes beside 20 summaries a second of the large account.
fn beside(stack: &Stack, run_for: Duration, path: &(dyn Fn(u64) -> String + Sync)) -> anyhow::Result<Percentiles> {
    std::thread::scope(|scope| {
        let questions = scope.spawn(|| every(stack, WHALE, Duration::from_millis(50), run_for, path));
        let written = writes(stack, run_for, 100.0)?;
        let asked = questions.join().map_err(|_| anyhow::anyhow!("the questions panicked"))??;
        say(format_args!("  beside it: {:.0} summaries/s, p99 {:.1} ms", asked.per_second, asked.latency.p99_ms));
        Ok(written)
    })
}

/// So many batches of 20 a second, by the clock.
fn writes(stack: &Stack, run_for: Duration, batches: f64) -> anyhow::Result<Percentiles> {
    let schedule = Schedule::new(Profile::Steady, batches, run_for.as_secs(), u64::MAX);
    let plan = Plan {
        peer: stack.address(),
        pace: Pace::Open(schedule),
        mix: Mix::Uniform,
        accounts: 50,
        batch: Some(20),
        connections: 64,
        retries: 0,
        timeout: Duration::from_secs(17),
        journal: None,
    };
    let report = generate::start(plan, &stack.signer()?)?.join()?;
    ensure!(report.error_share == 0.0, "not all was taken\n{report}");
    say(format_args!("{} events written, p99 {:.1} ms", report.outcomes.accepted, report.latency.p99_ms));
    Ok(report.latency)
}
