//! What a run counts and measures. Invariant: every request that was sent is in exactly one of `statuses` and `lost` for each of
//! its tries, and every event in exactly one of the outcomes by its last answer.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::client::Lost;
use crate::journal::Item;

/// Microseconds a histogram reaches: two minutes, more than any deadline.
const LONGEST: u64 = 120_000_000;

/// Latencies in µs with three significant digits.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3);
        Self(histogram.unwrap_or_else(|_| unreachable!("constant bounds, known to be valid")))
    }
}

impl Latency {
    /// Takes one value.
    pub fn record(&mut self, micros: u64) {
        self.0.saturating_record(micros.clamp(1, LONGEST));
    }

    /// The usual percentiles.
    pub fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
        Percentiles {
            count: self.0.len(),
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: self.0.max() as f64 / 1_000.0,
        }
    }
}

/// Percentiles of a latency, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub count: u64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// Events by how they ended for the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the words of domain::outcome")]
pub struct Outcomes {
    pub accepted: u64,
    pub duplicate: u64,
    pub rejected: u64,
    pub limited: u64,
    /// Not taken or not known to be taken, after all retries.
    pub failed: u64,
}

/// Counters and histograms of a run.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Tries by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// Tries without an answer: refused, reset, timeout, garbled.
    pub lost: BTreeMap<&'static str, u64>,
    /// Tries after the first.
    pub retries: u64,
    /// Requests, each counted once.
    pub requests: u64,
    /// Events by outcome.
    pub outcomes: Outcomes,
    /// From the due time to the last answer, accounts other than the whale.
    pub latency: Latency,
    /// The same for the whale.
    pub whale_latency: Latency,
    /// From the due time to the first sending: how far the generator itself was behind.
    pub send_lag: Latency,
    /// From sending to answer, each try.
    pub service_time: Latency,
}

impl Tally {
    /// Takes the end of a request of `count` events.
    pub fn finish(&mut self, status: Option<u16>, items: &[Item], count: u32) {
        self.requests += 1;
        let outcomes = &mut self.outcomes;
        if items.is_empty() {
            let target = match status {
                Some(429 | 402) => &mut outcomes.limited,
                Some(400..500) => &mut outcomes.rejected,
                _ => &mut outcomes.failed,
            };
            *target += u64::from(count);
        }
        for item in items {
            let target = match item {
                Item::Accepted(_) => &mut outcomes.accepted,
                Item::Duplicate => &mut outcomes.duplicate,
                Item::Rejected => &mut outcomes.rejected,
                Item::Limited => &mut outcomes.limited,
                Item::Retry => &mut outcomes.failed,
            };
            *target += 1;
        }
    }

    /// Counts a try without an answer.
    pub fn lose(&mut self, lost: Lost) {
        *self.lost.entry(lost.as_str()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_for_the_whole_request_counts_all_its_events() {
        let mut tally = Tally::default();
        tally.finish(Some(503), &[], 100);
        tally.finish(Some(429), &[], 10);
        tally.finish(Some(400), &[], 1);
        tally.finish(None, &[], 5);
        tally.finish(Some(207), &[Item::Accepted(None), Item::Limited], 2);
        let expected = Outcomes { accepted: 1, duplicate: 0, rejected: 1, limited: 11, failed: 105 };
        assert_eq!((tally.outcomes, tally.requests), (expected, 5));
    }

    #[test]
    fn percentiles_are_milliseconds() {
        let mut latency = Latency::default();
        (1..=100).for_each(|ms| latency.record(ms * 1_000));
        let percentiles = latency.percentiles();
        assert_eq!(percentiles.count, 100);
        assert!((percentiles.p50_ms - 50.0).abs() < 0.1 && (percentiles.p99_ms - 99.0).abs() < 0.1, "{percentiles:?}");
    }
}
