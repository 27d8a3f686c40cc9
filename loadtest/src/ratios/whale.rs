//! Small accounts with and without a large one at a hundred times its quota on the same instance. Invariant: every rate is kept by
//! the clock, latency counts from the due time, and the arms take turns on one stack.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::limits::with_default_quota;
use super::table::{Entry, Goal};
use crate::bench::Spread;
use crate::cpu::{self, GENERATOR, Usage};
use crate::generate::{self, Mix, Pace, Plan, Profile, Report, Schedule};
use crate::journal::account_name;
use crate::say;
use crate::stack::Stack;

/// Small accounts, and events a second of them all.
const SMALL: (usize, f64) = (50, 250.0);

/// Events a second the large one sends.
const FLOOD: f64 = 5_000.0;

/// Events the large one may send in a minute: a hundredth of what it sends.
const QUOTA: f64 = 3_000.0;

/// A window and a bucket.
const WINDOW_SECONDS: f64 = 61.0;

const QUOTA_TEXT: &str = r#"{"sustained":{"limit":3000,"mode":"enforce"}}"#;

/// Seconds an arm lasts at least: the window of the large one's quota, so that what it gets can be held against that.
pub const LEAST_SECONDS: u64 = 60;

/// How long what was sent may take to be stored.
const STORED_WITHIN: Duration = Duration::from_secs(120);

/// R7 and R8.
#[derive(Debug)]
pub struct Whale {
    rounds: Vec<[Figures; 2]>,
}

/// One arm of one round.
#[derive(Debug)]
struct Figures {
    small: Report,
    whale: Option<Report>,
    /// From accepted to stored, of the small ones.
    lag_p95_ms: f64,
    cpu: Usage,
}

impl Whale {
    /// Measures on a stack of its own, `seconds` an arm.
    ///
    /// # Errors
    /// When something of the small accounts is not taken or not stored.
    pub fn measure(weir: &Path, extra: &[(String, String)], rounds: u32, seconds: u64) -> anyhow::Result<Self> {
        let stack = Stack::start(weir, &with_default_quota(extra))?;
        // One of its own a round: each begins with an empty window.
        let quotas = (0..=rounds).map(|round| (account_name(&whale_of(round), 0), QUOTA_TEXT));
        stack.set_quotas(&quotas.collect::<Vec<_>>())?;
        stack.serve()?;
        say(format_args!("   generator {}", if pin() { "pinned to one core" } else { "not pinned: no taskset" }));
        let mut kept = Vec::new();
        for round in 0..=rounds {
            // The first one warms up, and is short.
            let seconds = if round == 0 { 10 } else { seconds };
            let pair = [arm(&stack, seconds, None)?, arm(&stack, seconds, Some(round))?];
            if round > 0 {
                kept.push(pair);
            }
        }
        stack.stop()?;
        Ok(Self { rounds: kept })
    }

    /// The ratios.
    pub fn entries(&self) -> Vec<(&'static str, Entry)> {
        let each = |figure: &dyn Fn(&Figures) -> f64| -> [Vec<f64>; 2] {
            [0, 1].map(|arm| self.rounds.iter().map(|round| figure(&round[arm])).collect())
        };
        let entry = |what, goal, name: &str, figure: &dyn Fn(&Figures) -> f64| {
            let [without, with] = each(figure);
            let ratios = with.iter().zip(&without).map(|(with, without)| with / without).collect();
            let mut arms = BTreeMap::new();
            for (arm, values) in [("without", without), ("with", with)] {
                let Spread { median, min, max } = Spread::of(values);
                arms.extend(
                    [("median", median), ("least", min), ("most", max)]
                        .map(|(word, value)| (format!("{name} {arm} the whale, {word}"), value)),
                );
            }
            for (component, cores) in self.cores() {
                arms.insert(component, cores);
            }
            Entry::of(what, goal, ratios, arms)
        };
        let whales = || self.rounds.iter().filter_map(|round| round[1].whale.as_ref());
        // An arm that a busy machine drew out reaches into a second window, which brings a second quota.
        let windows = |whale: &Report| 1.0 + (whale.seconds / WINDOW_SECONDS).floor();
        let share = whales().map(|whale| whale.outcomes.accepted as f64 / QUOTA / windows(whale)).collect();
        let told =
            |name: &str, of: &dyn Fn(&Report) -> f64| (name.to_owned(), Spread::of(whales().map(of).collect()).median);
        let whale = BTreeMap::from([
            told("sent a second", &|whale| whale.requests as f64 / whale.seconds),
            told("refused, share of what it sent", &|whale| {
                whale.outcomes.limited as f64 / whale.requests.max(1) as f64
            }),
            told("neither taken nor refused", &|whale| (whale.outcomes.failed + whale.outcomes.rejected) as f64),
            told("p99 of its answers, ms", &|whale| whale.latency.p99_ms),
        ]);
        vec![
            (
                "R7",
                entry("small accounts' p99, whale ÷ none", Goal::at_most(1.25, 1.10), "p99, ms,", &|arm| {
                    arm.small.latency.p99_ms
                }),
            ),
            (
                "R8",
                entry("small accounts' lag p95, whale ÷ none", Goal::at_most(1.5, 1.25), "lag p95, ms,", &|arm| {
                    arm.lag_p95_ms
                }),
            ),
            ("R8w", Entry::of("what the whale gets ÷ its quota", Goal::at_least(0.9, 0.95), share, whale)),
        ]
    }

    /// Cores in use, by arm and component.
    fn cores(&self) -> Vec<(String, f64)> {
        let mut cores = Vec::new();
        for component in [GENERATOR, "api"] {
            for (arm, word) in ["without", "with"].into_iter().enumerate() {
                let used = self.rounds.iter().map(|round| {
                    let Figures { small, cpu, .. } = &round[arm];
                    cpu.get(component).copied().unwrap_or(0) as f64 / 1_000_000.0 / small.seconds
                });
                cores.push((format!("cores of {component}, {word}"), Spread::of(used.collect()).median));
            }
        }
        cores
    }
}

fn whale_of(round: u32) -> String {
    format!("whale-{round}-")
}

fn plan(stack: &Stack, accounts: usize, rate: f64, seconds: u64) -> Plan {
    Plan {
        peer: stack.address(),
        pace: Pace::Open(Schedule::new(Profile::Steady, rate, seconds, u64::MAX)),
        mix: Mix::Uniform,
        accounts,
        batch: None,
        connections: 64,
        retries: 0,
        timeout: Duration::from_secs(17),
        journal: None,
    }
}

fn arm(stack: &Stack, seconds: u64, whale: Option<u32>) -> anyhow::Result<Figures> {
    let (signer, meter) = (stack.signer()?, stack.meter());
    let before = meter.read();
    let beside =
        whale.map(|round| generate::start_as(&whale_of(round), plan(stack, 1, FLOOD, seconds), &signer)).transpose()?;
    let small = generate::start_as("small-", plan(stack, SMALL.0, SMALL.1, seconds), &signer)?.join()?;
    let whale = beside.map(generate::Running::join).transpose()?;
    let cpu = cpu::between(&before, &meter.read());
    ensure!(small.outcomes.accepted == small.requests, "not all of the small accounts was taken\n{small}");
    let lag_p95_ms = lag(stack, &small)?;
    say(format_args!(
        "   {:<8} p50 {:>6.2}  p99 {:>7.2} ms   lag p95 {lag_p95_ms:>6.1} ms   {}",
        if whale.is_some() { "with" } else { "without" },
        small.latency.p50_ms,
        small.latency.p99_ms,
        whale.as_ref().map_or_else(String::new, |whale| format!(
            "whale: {:.0}/s, {} taken, {} refused, {} lost",
            whale.requests as f64 / whale.seconds,
            whale.outcomes.accepted,
            whale.outcomes.limited,
            whale.lost.values().sum::<u64>()
        )),
    ));
    Ok(Figures { small, whale, lag_p95_ms, cpu })
}

/// Milliseconds from accepted to stored that 19 of 20 events of a run took at most, once all of them are stored.
fn lag(stack: &Stack, report: &Report) -> anyhow::Result<f64> {
    let sql = format!(
        "SELECT count(*) || ' ' || coalesce(percentile_disc(0.95) WITHIN GROUP \
         (ORDER BY extract(epoch FROM stored_at - received_at) * 1000), 0) FROM events WHERE event_id LIKE '{}-%'",
        report.run
    );
    let read = || {
        let text = stack.sql(&sql).ok()?;
        let (rows, lag) = text.trim().split_once(' ')?;
        (rows.parse::<u64>().ok()? == report.outcomes.accepted).then(|| lag.parse().ok())?
    };
    weir_local::poll(STORED_WITHIN, read)
        .with_context(|| format!("not all is stored; end of the log:\n{}", stack.worker.log_tail()))
}

/// Keeps this process, and with it the generators, on the machine's last core; whether that could be done.
fn pin() -> bool {
    let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    let (core, process) = (last.to_string(), std::process::id().to_string());
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--cpu-list", "--pid", &core, &process]).stdout(Stdio::null());
    taskset.status().is_ok_and(|status| status.success())
}
