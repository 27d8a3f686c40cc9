//! The whole path at work: from the door to Postgres, and from Postgres to many who ask at once. Invariant: what is counted is what
//! Postgres says, not what the service says of itself.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::future::join_all;
use weir::domain::time::Timestamp;

use super::Lengths;
use super::table::{Entry, Goal};
use crate::bench::Spread;
use crate::generate::{self, Client, Mix, Pace, Plan, Profile, Report, Schedule};
use crate::say;
use crate::stack::{Stack, Watch};

/// How many ask at once.
const MISSES: usize = 500;

/// Events of a batch.
const BATCH: u32 = 100;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// R12, R13 and R16, by round.
#[derive(Debug, Default)]
pub struct Whole {
    /// Scans of the counts for many misses, by those of one.
    queries: Vec<f64>,
    /// p50, p95 and p99 from received to stored, in seconds.
    behind: Vec<[f64; 3]>,
    /// Events a second stored beside arrivals while there is a backlog, and events a second that arrived.
    drained: Vec<[f64; 2]>,
    /// Events a second that were offered.
    flow: f64,
}

impl Whole {
    /// Measures on a stack of its own with so many events a second.
    ///
    /// # Errors
    /// When something is not taken, or not stored in time.
    pub fn measure(weir: &Path, extra: &[(String, String)], lengths: Lengths, flow: f64) -> anyhow::Result<Self> {
        let stack = Stack::start(weir, extra)?;
        stack.serve()?;
        let mut whole = Self { flow, ..Self::default() };
        for round in 0..=lengths.rounds {
            let behind = behind(&stack, lengths, flow)?;
            // What a connection of the worker's did last Postgres hears at its end, or ten seconds later.
            stack.worker.stop()?;
            let (queries, drained) = (queries(&stack)?, drained(&stack, lengths, flow)?);
            say(format_args!(
                "   round {round} {queries:.2} queries, p95 {:.3} s behind, {:.0} events/s stored beside {:.0}/s",
                behind[1], drained[0], drained[1]
            ));
            // The first one warms up.
            if round > 0 {
                whole.queries.push(queries);
                whole.behind.push(behind);
                whole.drained.push(drained);
            }
        }
        stack.stop()?;
        Ok(whole)
    }

    /// The ratios.
    pub fn entries(&self) -> Vec<(&'static str, Entry)> {
        let column = |at: usize| Spread::of(self.behind.iter().map(|each| each[at]).collect()).median;
        let rate = |at: usize| Spread::of(self.drained.iter().map(|each| each[at]).collect()).median;
        let seconds = [("p50, s", column(0)), ("p99, s", column(2)), ("offered, events/s", self.flow)];
        let rates = [("stored, events/s", rate(0)), ("arrived, events/s", rate(1))];
        let named =
            |figures: &[(&str, f64)]| figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        vec![
            (
                "R12",
                Entry::of("queries for 500 misses at once", Goal::at_most(2.0, 1.0), self.queries.clone(), named(&[])),
            ),
            (
                "R13",
                Entry::of(
                    "received to stored, p95 in seconds",
                    Goal::at_most(1.0, 0.15),
                    self.behind.iter().map(|each| each[1]).collect(),
                    named(&seconds),
                ),
            ),
            (
                "R16",
                Entry::of(
                    "stored ÷ arriving while there is a backlog",
                    Goal::at_least(2.0, 4.0),
                    self.drained.iter().map(|each| each[0] / each[1]).collect(),
                    named(&rates),
                ),
            ),
        ]
    }
}

/// Batches by the clock.
fn plan(stack: &Stack, flow: f64, seconds: u64) -> Plan {
    Plan {
        peer: stack.address(),
        pace: Pace::Open(Schedule::new(Profile::Steady, flow / f64::from(BATCH), seconds, u64::MAX)),
        mix: Mix::Uniform,
        accounts: 64,
        batch: Some(BATCH),
        connections: 64,
        retries: 3,
        timeout: Duration::from_secs(17),
        journal: None,
    }
}

fn taken(report: &Report) -> anyhow::Result<u64> {
    ensure!(report.error_share == 0.0 && report.outcomes.limited == 0, "not all was taken\n{report}");
    Ok(report.outcomes.accepted)
}

fn wait_for_rows(stack: &Stack, rows: u64) -> anyhow::Result<()> {
    let there = weir_local::poll(PATIENCE, || (stack.stored().ok()? >= rows).then_some(()));
    there.with_context(|| format!("not stored in time; end of the log:\n{}", stack.worker.log_tail()))
}

/// p50, p95 and p99 in seconds of what was sent by the clock.
fn behind(stack: &Stack, lengths: Lengths, flow: f64) -> anyhow::Result<[f64; 3]> {
    let (before, since) = (stack.stored()?, Timestamp::now());
    let sent = taken(&generate::start(plan(stack, flow, lengths.run_for.as_secs()), &stack.signer()?)?.join()?)?;
    wait_for_rows(stack, before + sent)?;
    let text = stack.sql(&format!(
        "SELECT array_to_string(percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY \
         extract(epoch FROM stored_at - received_at)::float8), ' ') FROM events WHERE received_at >= '{since}'"
    ))?;
    let figures: Vec<f64> = text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    figures.try_into().map_err(|_| anyhow::anyhow!("the percentiles: {text:?}"))
}

/// Events a second stored and arrived, from the first row until the backlog is gone; the worker stands still before.
fn drained(stack: &Stack, lengths: Lengths, flow: f64) -> anyhow::Result<[f64; 2]> {
    let before = stack.stored()?;
    let filling = (lengths.events as f64 / flow).ceil().max(1.0) as u64;
    let backlog = taken(&generate::start(plan(stack, flow, filling), &stack.signer()?)?.join()?)?;
    // Ended below, once the worker has caught up.
    let arriving = generate::start(plan(stack, flow, PATIENCE.as_secs()), &stack.signer()?)?;
    stack.worker.start()?;
    wait_for_rows(stack, before + 1)?;
    let (begun, first, arrived) = (Instant::now(), stack.stored()?, arriving.accepted());
    // What arrived in the last tenth of a second is on its way, not waiting.
    let on_its_way = (flow / 10.0) as u64;
    let mut watch = Watch::open(stack)?;
    let caught_up = weir_local::poll(PATIENCE, || {
        let (accepted, stored) = (arriving.accepted(), watch.stored().ok()?);
        (stored + on_its_way >= before + backlog + accepted).then_some((
            stored,
            accepted,
            begun.elapsed().as_secs_f64(),
        ))
    });
    let report = arriving.finish()?;
    let (stored, accepted, seconds) =
        caught_up.with_context(|| format!("the backlog stays; end of the log:\n{}", stack.worker.log_tail()))?;
    wait_for_rows(stack, before + backlog + taken(&report)?)?;
    Ok([(stored - first) as f64 / seconds, (accepted - arrived) as f64 / seconds])
}

/// Scans of events that many simultaneous misses of one key cost, by those of a lone miss of another.
fn queries(stack: &Stack) -> anyhow::Result<f64> {
    let account = format!("asked-{}", crate::scratch::unique());
    let until = Timestamp::now().unix_seconds();
    let path = |back: i64| format!("/v1/accounts/{account}/summary?from={}&to={until}", until - back);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut scanned = [0; 2];
    for (scans, (askers, back)) in scanned.iter_mut().zip([(1, 7_200), (MISSES, 14_400)]) {
        let before = settled_scans(stack)?;
        runtime.block_on(ask_at_once(stack, &account, &path(back), askers))?;
        *scans = settled_scans(stack)? - before;
    }
    let [lone, many] = scanned;
    ensure!(lone > 0, "a lone miss did not reach Postgres");
    Ok(many as f64 / lone as f64)
}

/// Everybody connects first, then all ask in the same moment.
async fn ask_at_once(stack: &Stack, account: &str, path: &str, askers: usize) -> anyhow::Result<()> {
    let token = stack.signer()?.token(account)?;
    let request = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\r\n", stack.address())
    };
    let (greeting, question) = (request("/health"), request(path));
    let mut clients: Vec<Client> = (0..askers).map(|_| Client::new(stack.address())).collect();
    for text in [&greeting, &question] {
        let answers = clients.iter_mut().map(async |client| {
            let answer = client.call(text.as_bytes(), Duration::from_secs(60)).await;
            answer.map(|answer| answer.status)
        });
        for status in join_all(answers).await {
            ensure!(status == Ok(200), "a question was answered with {status:?}");
        }
    }
    Ok(())
}

/// Scans of events so far, once Postgres has been told of all: it hears of them up to a second late.
fn settled_scans(stack: &Stack) -> anyhow::Result<u64> {
    let count = || {
        let sum = "SELECT coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0) FROM pg_stat_user_tables \
                   WHERE relname ~ '^events_'";
        let text = stack.sql(sum)?;
        text.trim().parse::<u64>().with_context(|| format!("the number of scans: {text:?}"))
    };
    let mut last = (count()?, Instant::now());
    let settled = weir_local::poll(PATIENCE, || {
        let now = count().ok()?;
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_secs(3)).then_some(now)
    });
    settled.context("something else reads events without end")
}
