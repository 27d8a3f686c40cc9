//! Questions, as fast as answers come or by the clock. Invariant: an answer other than 200 ends the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{anyhow, bail};
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::generate::{Client, Latency, Percentiles};
use crate::stack::Stack;

/// Longest wait for an answer: above the service's own deadline.
const WITHIN: Duration = Duration::from_secs(17);

/// What came of it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Asked {
    /// Answers a second.
    pub per_second: f64,
    /// Their time.
    pub latency: Percentiles,
}

/// What all connections share.
struct Run<'a> {
    head: String,
    path: &'a (dyn Fn(u64) -> String + Sync),
    next: AtomicU64,
    until: Instant,
}

/// A closed loop over so many connections; request number `n` asks for `path(n)`.
///
/// # Errors
/// When an answer is lost or is not 200.
pub fn ask(
    stack: &Stack,
    account: &str,
    connections: usize,
    run_for: Duration,
    path: &(dyn Fn(u64) -> String + Sync),
) -> anyhow::Result<Asked> {
    run(stack, account, (connections, None), run_for, path)
}

/// One question every so often, by the clock, whatever the answers take.
///
/// # Errors
/// As [`ask`].
pub fn every(
    stack: &Stack,
    account: &str,
    distance: Duration,
    run_for: Duration,
    path: &(dyn Fn(u64) -> String + Sync),
) -> anyhow::Result<Asked> {
    // Four connections, each at a quarter of the pace: a question may take four distances without delaying the next.
    run(stack, account, (4, Some(distance * 4)), run_for, path)
}

fn run(
    stack: &Stack,
    account: &str,
    (connections, pace): (usize, Option<Duration>),
    run_for: Duration,
    path: &(dyn Fn(u64) -> String + Sync),
) -> anyhow::Result<Asked> {
    let token = stack.signer()?.token(account)?;
    let head = format!("host: {}\r\nauthorization: Bearer {token}\r\n\r\n", stack.address());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let begun = Instant::now();
        let shared = Arc::new(Run { head, path, next: AtomicU64::new(0), until: begun + run_for });
        let askers = (0..connections).map(|_| connection(Client::new(stack.address()), Arc::clone(&shared), pace));
        let mut latency = Latency::default();
        for times in join_all(askers).await {
            times?.into_iter().for_each(|micros| latency.record(micros));
        }
        let latency = latency.percentiles();
        Ok(Asked { per_second: latency.count as f64 / begun.elapsed().as_secs_f64(), latency })
    })
}

async fn connection(mut client: Client, run: Arc<Run<'_>>, pace: Option<Duration>) -> anyhow::Result<Vec<u64>> {
    let mut clock = pace.map(interval);
    if let Some(clock) = &mut clock {
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    }
    let mut times = Vec::new();
    while Instant::now() < run.until {
        let due = match &mut clock {
            Some(clock) => clock.tick().await,
            None => Instant::now(),
        };
        let path = (run.path)(run.next.fetch_add(1, Ordering::Relaxed));
        let request = format!("GET {path} HTTP/1.1\r\n{}", run.head);
        let answer = client.call(request.as_bytes(), WITHIN).await.map_err(|lost| anyhow!("{path}: {lost:?}"))?;
        if answer.status != 200 {
            bail!("{path}: {} {}", answer.status, String::from_utf8_lossy(answer.body));
        }
        times.push(u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(times)
}
