//! What it costs to write down the levels of service of very many accounts. Invariant: every account was served once since the flush
//! before, which is the dearest case: no two answers share a row.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Serialize;
use weir::config::{Config, Secret, SloConfig};
use weir::domain::id::AccountId;
use weir::domain::sli::Verdict;
use weir::domain::time::Timestamp;
use weir::slo::flush::Flusher;
use weir::store::SliStore;
use weir::telemetry::sli::Recorder;
use weir_local::Login;

use crate::cpu;
use crate::stack::{DATABASE, Stack};

/// One flush of all accounts.
#[derive(Debug, Clone, Serialize)]
pub struct Flushed {
    /// `new rows` or `rows that are there`.
    pub what: &'static str,
    /// Rows of accounts.
    pub rows: usize,
    /// Processor time of filing an answer, in ns.
    pub record_nanos: f64,
    /// Until the last row was committed.
    pub seconds: f64,
    /// Rows a second.
    pub rows_per_second: f64,
    /// Processor time of the process that flushes, in ms.
    pub own_cpu_ms: u64,
    /// Processor time of Postgres, in ms.
    pub postgres_cpu_ms: u64,
    /// How much the most memory of this process has grown by the sums and their flush, in KiB.
    pub memory_kib: u64,
}

/// Flushes `accounts` accounts, first as new rows, then `rounds` times into the rows that are there.
///
/// # Errors
/// When Postgres does not start or a flush does not reach it.
pub async fn flushes(stack: &Stack, accounts: usize, rounds: u32) -> anyhow::Result<Vec<Flushed>> {
    let (mut config, postgres) = (Config::from_env()?, &stack.engines.postgres);
    config.slo = SloConfig { slo_flush_seconds: 60, ..config.slo };
    let url = Secret::new(postgres.login(Login::Api, DATABASE));
    let store = SliStore::open(&url, &config.database).map_err(anyhow::Error::from_boxed)?;
    let recorder = Recorder::default();
    let mut flusher = Flusher::new(recorder.clone(), store.clone(), &config.slo, true, Timestamp::now());
    let names: Result<Vec<_>, _> = (0..accounts).map(|i| AccountId::new(&format!("account-{i:06}"))).collect();
    let names = names.context("account names")?;
    // All in one minute, whatever the clock says: the rows of every round are the same.
    let at = Timestamp::now();
    let mut flushed = Vec::new();
    for round in 0..=rounds {
        let memory = memory_kib()?;
        let begun = cpu::of_self();
        for name in &names {
            recorder.record(at, "postEvent", Some(name), (Verdict::Good, Duration::from_millis(3)));
        }
        let recorded = cpu::of_self();
        let (before, start) = (cpu::of_tree(postgres.pid().unwrap_or_default()), Instant::now());
        flusher.flush(Timestamp::now()).await;
        let seconds = start.elapsed().as_secs_f64();
        let rows = accounts * (round as usize + 1);
        let stored = postgres.psql(DATABASE, "SELECT sum(good) FROM sli_hours")?;
        ensure!(stored.trim() == rows.to_string(), "{} of {rows} answers are stored", stored.trim());
        flushed.push(Flushed {
            what: if round == 0 { "new rows" } else { "rows that are there" },
            rows: accounts,
            record_nanos: (recorded - begun) as f64 * 1e3 / accounts as f64,
            seconds,
            rows_per_second: accounts as f64 / seconds,
            own_cpu_ms: (cpu::of_self() - recorded) / 1_000,
            postgres_cpu_ms: (cpu::of_tree(postgres.pid().unwrap_or_default()) - before) / 1_000,
            memory_kib: memory_kib()?.saturating_sub(memory),
        });
    }
    store.close().await;
    Ok(flushed)
}

/// The most memory this process has had so far.
fn memory_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    line.trim().trim_end_matches(" kB").parse().context("a number of kB")
}
