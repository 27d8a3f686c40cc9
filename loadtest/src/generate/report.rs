//! What a run says about itself. Invariant: the numbers are those of the tally; nothing is left out because it looks bad.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::pace::Pace;
use super::tally::{Outcomes, Percentiles, Tally};
use super::{Mix, Plan};

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Unique name of the run.
    pub run: String,
    /// `open` or `closed`: latencies of a closed loop hide queueing.
    pub loop_kind: &'static str,
    /// Seconds it took.
    pub seconds: f64,
    /// Events a batch, 1 for singles.
    pub events_per_request: u32,
    /// Requests that were sent.
    pub requests: u64,
    /// Events accepted a second.
    pub accepted_per_second: f64,
    /// Share of events that failed after all retries or were rejected; limited ones are no errors.
    pub error_share: f64,
    /// Events by outcome.
    pub outcomes: Outcomes,
    /// Tries by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// Tries without an answer.
    pub lost: BTreeMap<&'static str, u64>,
    /// Tries after the first.
    pub retries: u64,
    /// From the due time to the last answer.
    pub latency: Percentiles,
    /// The same for the whale, when there is one.
    pub whale_latency: Option<Percentiles>,
    /// From the due time to the first sending.
    pub send_lag: Percentiles,
    /// From sending to answer.
    pub service_time: Percentiles,
}

impl Report {
    pub(super) fn new(run: &str, plan: &Plan, tally: &Tally, elapsed: Duration) -> Self {
        let outcomes = tally.outcomes;
        let total = outcomes.accepted + outcomes.duplicate + outcomes.rejected + outcomes.limited + outcomes.failed;
        Self {
            run: run.to_owned(),
            loop_kind: if matches!(plan.pace, Pace::Open(_)) { "open" } else { "closed" },
            seconds: elapsed.as_secs_f64(),
            events_per_request: plan.batch.unwrap_or(1),
            requests: tally.requests,
            accepted_per_second: outcomes.accepted as f64 / elapsed.as_secs_f64(),
            error_share: (outcomes.failed + outcomes.rejected) as f64 / total.max(1) as f64,
            outcomes,
            statuses: tally.statuses.clone(),
            lost: tally.lost.clone(),
            retries: tally.retries,
            latency: tally.latency.percentiles(),
            whale_latency: (plan.mix == Mix::Whale).then(|| tally.whale_latency.percentiles()),
            send_lag: tally.send_lag.percentiles(),
            service_time: tally.service_time.percentiles(),
        }
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_ms, p95_ms, p99_ms, p999_ms, max_ms, .. } = self;
        write!(f, "p50 {p50_ms:.1}  p95 {p95_ms:.1}  p99 {p99_ms:.1}  p99.9 {p999_ms:.1}  max {max_ms:.1} ms")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcomes { accepted, duplicate, rejected, limited, failed } = self.outcomes;
        let Self { run, loop_kind, seconds, events_per_request, requests, .. } = self;
        writeln!(
            f,
            "run {run}: {loop_kind} loop, {seconds:.1} s, {requests} requests of {events_per_request} event(s)"
        )?;
        writeln!(
            f,
            "  events        accepted {accepted} ({:.0}/s)  duplicate {duplicate}  rejected {rejected}  limited {limited}  \
             failed {failed}  errors {:.3} %",
            self.accepted_per_second,
            self.error_share * 100.0
        )?;
        let statuses: Vec<String> = self.statuses.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let lost: Vec<String> = self.lost.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
        writeln!(f, "  answers       {}  retries: {}  {}", statuses.join("  "), self.retries, lost.join("  "))?;
        writeln!(f, "  latency       {}  (from the due time)", self.latency)?;
        if let Some(whale) = &self.whale_latency {
            writeln!(f, "  whale         {whale}")?;
        }
        writeln!(f, "  service time  {}  (from the sending)", self.service_time)?;
        write!(f, "  send lag      {}", self.send_lag)
    }
}
