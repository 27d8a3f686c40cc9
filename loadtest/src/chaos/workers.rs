//! F4, F5, F25: workers that leave, freeze or come and go. Invariant: partitions are never without a worker for longer than the
//! group needs to notice, and a zombie's late work counts nothing twice.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::topic::{self, EVENTS};
use super::trial::{Outcome, Settings, Trial};
use crate::generate::Mix;
use crate::say;
use crate::stack::{Ground, Service, WELL};

/// The least a broker accepts.
const SESSION: Duration = Duration::from_secs(6);
/// A group of two workers on a busy machine.
const SHARED_WITHIN: Duration = Duration::from_secs(60);

/// Two workers in no fixed places, each with its share of the partitions, and load on every partition.
fn two_workers(title: &str, settings: &Settings) -> anyhow::Result<(Trial, Service)> {
    let ground = Ground::default().with("WEIR_KAFKA_SESSION_TIMEOUT_MS", SESSION.as_millis());
    let mut trial = Trial::prepare(title, settings, &ground)?;
    trial.stack.worker.unset("WEIR_KAFKA_GROUP_INSTANCE_ID");
    trial.stack.serve()?;
    let second = trial.stack.another_worker("worker-2")?;
    second.start()?;
    second.wait_ready()?;
    let mut plan = trial.plan();
    (plan.mix, plan.accounts) = (Mix::Uniform, 96);
    trial.load(plan)?;
    wait_for_sharing(&trial).context("two workers did not share the partitions")?;
    Ok((trial, second))
}

fn wait_for_sharing(trial: &Trial) -> Option<()> {
    let broker = trial.stack.engines.kafka.broker(0).address();
    weir_local::poll(SHARED_WITHIN, || (topic::workers_with_partitions(&broker)? == 2).then_some(()))
}

/// Where each partition stands in the store, by partition.
fn progress(trial: &Trial) -> anyhow::Result<Vec<(i32, i64)>> {
    let sql = format!("SELECT kafka_partition, next_offset FROM log_progress WHERE topic = '{EVENTS}' ORDER BY 1");
    let rows = trial.stack.sql(&sql)?;
    let row = |line: &str| {
        let (partition, next) = line.split_once('|')?;
        Some((partition.trim().parse().ok()?, next.trim().parse().ok()?))
    };
    rows.lines().map(|line| row(line).with_context(|| format!("a row of log_progress: {line:?}"))).collect()
}

/// How long until every partition has moved; `None` when one has not within `patience`.
fn all_move(trial: &Trial, patience: Duration) -> anyhow::Result<Option<Duration>> {
    let (start, before) = (Instant::now(), progress(trial)?);
    let moved = weir_local::poll(patience, || {
        let now = progress(trial).ok()?;
        let all = before.iter().all(|(partition, then)| now.iter().any(|(p, next)| p == partition && next > then));
        all.then(|| start.elapsed())
    });
    Ok(moved)
}

fn seen(moved: Option<Duration>) -> String {
    moved.map_or_else(|| "never".to_owned(), |took| format!("{} ms", took.as_millis()))
}

/// F4.
pub(super) fn terminated(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let (mut trial, second) = two_workers(title, settings)?;
    trial.wait(Duration::from_secs(5));
    let begun = Instant::now();
    trial.stack.worker.stop()?;
    let (took, ended) = (begun.elapsed(), trial.stack.worker.ended());
    let moved = all_move(&trial, Duration::from_secs(30))?;
    trial.check(ended.as_deref() == Some(WELL), "it exits 0", format!("{ended:?} after {} ms", took.as_millis()));
    let whole = moved.map(|moved| moved + took);
    trial.check(
        moved.is_some_and(|moved| moved <= Duration::from_secs(3)),
        "the other stores from every partition within 3 s of its exit",
        format!("{}, {} after the signal", seen(moved), seen(whole)),
    );
    trial.stack.worker.start()?;
    trial.stack.worker.wait_ready()?;
    trial.wait(Duration::from_secs(5));
    let outcome = trial.finish(|_, _| {});
    second.stop()?;
    outcome
}

/// F5.
pub(super) fn zombie(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let (mut trial, second) = two_workers(title, settings)?;
    trial.wait(Duration::from_secs(5));
    trial.stack.worker.pause();
    let asleep = trial.outage().max(SESSION * 3);
    say(format_args!("   one worker frozen for {} s, its session is {} s", asleep.as_secs(), SESSION.as_secs()));
    let start = Instant::now();
    let moved = all_move(&trial, asleep)?;
    trial.wait(asleep.saturating_sub(start.elapsed()));
    trial.stack.worker.resume();
    trial.check(
        moved.is_some_and(|moved| moved <= SESSION + Duration::from_secs(5)),
        "the other has all partitions within 5 s of the session's end",
        seen(moved),
    );
    let start = Instant::now();
    let shared = wait_for_sharing(&trial).map(|()| start.elapsed());
    trial.check(shared.is_some(), "awake it gets partitions again", seen(shared));
    trial.wait(Duration::from_secs(5));
    let outcome = trial.finish(|_, _| {});
    second.stop()?;
    outcome
}

/// F25: by turns one comes, one leaves as told, one comes, one is killed.
pub(super) fn storm(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    const TURNS: u64 = 12;
    let (mut trial, second) = two_workers(title, settings)?;
    for turn in 0..TURNS {
        trial.wait(Duration::from_secs(5));
        match turn % 4 {
            0 => second.stop()?,
            2 => second.kill()?,
            _ => second.start()?,
        }
    }
    let moved = all_move(&trial, Duration::from_secs(60))?;
    trial.check(
        moved.is_some_and(|moved| moved <= SESSION + Duration::from_secs(10)),
        "after the storm every partition moves within the session and 10 s",
        format!("{} after {TURNS} turns", seen(moved)),
    );
    let outcome = trial.finish(|_, _| {})?;
    second.stop()?;
    Ok(with_bounded_lag(outcome))
}

/// The slowest event waited for a session to run out and for the batches behind it.
fn with_bounded_lag(mut outcome: Outcome) -> Outcome {
    let slowest = outcome.verdict.findings.end_to_end.map_or(f64::INFINITY, |latency| latency.max_ms);
    let limit = (SESSION + Duration::from_secs(20)).as_millis() as f64;
    let check = super::Check {
        expected: format!("no event waits longer than {limit:.0} ms for its row"),
        seen: format!("{slowest:.0} ms"),
        held: slowest <= limit,
    };
    outcome.passed &= check.held;
    outcome.checks.push(check);
    outcome
}
