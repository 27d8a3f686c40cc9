//! What is measured of answers, for promises and reports. Invariant: an answer is good, bad or the caller's own mistake, never
//! two of these; times are of good answers only.

use std::time::Duration;

/// Upper bounds of the time bins, in milliseconds; one more bin holds whatever took longer. The histograms that Prometheus
/// scrapes have the same bounds among theirs.
pub const LATENCY_BOUNDS_MS: [u32; 10] = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// Bins of a [`Sample`].
pub const BINS: usize = LATENCY_BOUNDS_MS.len() + 1;

/// The pseudo operation under which the worker files how long events took to be readable.
pub const VISIBILITY: &str = "visibility";

/// Operations that orchestrators and Prometheus call again and again.
const PROBES: [&str; 6] = [
    "getPrometheusMetrics",
    "getLiveness",
    "getManagementHealth",
    "getManagementReadiness",
    "getHealth",
    "getReadiness",
];

/// Whether the operation is a probe.
pub fn is_probe(operation: &str) -> bool {
    PROBES.contains(&operation)
}

/// Whether we promise tenants anything about the operation: not about probes, pages of the document, or paths we do not have.
pub fn is_promised(operation: &str) -> bool {
    !is_probe(operation) && !["unmatched", "unnamed", "getDocs", "getDocument", "getStatusPage"].contains(&operation)
}

/// How an answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// We kept our promise.
    Good,
    /// We did not: 5xx, our timeouts among them.
    Bad,
    /// The caller's mistake: 4xx. It neither helps nor harms us.
    Client,
}

impl Verdict {
    /// The verdict on an HTTP status.
    pub fn of_status(status: u16) -> Self {
        match status {
            500.. => Self::Bad,
            400..500 => Self::Client,
            _ => Self::Good,
        }
    }
}

/// Answers of one operation or account in one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// Good answers.
    pub good: u64,
    /// Bad answers.
    pub bad: u64,
    /// The caller's mistakes.
    pub client: u64,
    /// Good answers by time.
    pub bins: [u64; BINS],
}

impl Sample {
    /// Files one answer.
    pub fn add(&mut self, verdict: Verdict, took: Duration) {
        match verdict {
            Verdict::Good => {
                self.good += 1;
                self.bins[bin(took)] += 1;
            }
            Verdict::Bad => self.bad += 1,
            Verdict::Client => self.client += 1,
        }
    }

    /// Adds another sample.
    pub fn merge(&mut self, other: &Self) {
        self.good += other.good;
        self.bad += other.bad;
        self.client += other.client;
        for (own, more) in self.bins.iter_mut().zip(other.bins) {
            *own += more;
        }
    }

    /// Good answers that took longer than a bound of [`LATENCY_BOUNDS_MS`]; a bound between two counts as the next one.
    pub fn slower_than(&self, bound_ms: u32) -> u64 {
        let within = LATENCY_BOUNDS_MS.iter().position(|bound| *bound >= bound_ms).unwrap_or(BINS - 1);
        self.bins[within + 1..].iter().sum()
    }

    /// The time that the share `q` of good answers stayed within, in milliseconds, straight lines inside a bin as Prometheus
    /// draws them. The open bin answers its lower bound. `None` without a good answer.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let total: u64 = self.bins.iter().sum();
        let rank = q * total as f64;
        let mut below = 0.0;
        for (index, count) in self.bins.iter().enumerate().filter(|(_, count)| **count > 0) {
            let inside = *count as f64;
            if below + inside >= rank {
                let lower = if index == 0 { 0.0 } else { f64::from(LATENCY_BOUNDS_MS[index - 1]) };
                let upper = LATENCY_BOUNDS_MS.get(index).map_or(lower, |bound| f64::from(*bound));
                return Some(lower + (upper - lower) * (rank - below) / inside);
            }
            below += inside;
        }
        None
    }
}

fn bin(took: Duration) -> usize {
    LATENCY_BOUNDS_MS.partition_point(|bound| took > Duration::from_millis(u64::from(*bound)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(times_ms: &[u64]) -> Sample {
        let mut sample = Sample::default();
        times_ms.iter().for_each(|ms| sample.add(Verdict::Good, Duration::from_millis(*ms)));
        sample
    }

    #[test]
    fn statuses_fall_into_three_verdicts() {
        let verdicts = [200, 202, 207, 301, 400, 429, 499, 500, 503, 504].map(Verdict::of_status);
        use Verdict::{Bad, Client, Good};
        assert_eq!(verdicts, [Good, Good, Good, Good, Client, Client, Client, Bad, Bad, Bad]);
    }

    #[test]
    fn a_bound_belongs_to_its_bin() {
        let sample = sample(&[0, 10, 11, 500, 501, 10_000, 10_001]);
        assert_eq!(sample.bins, [2, 1, 0, 0, 0, 1, 1, 0, 0, 1, 1]);
        assert_eq!((sample.slower_than(500), sample.slower_than(10_000), sample.slower_than(10)), (3, 1, 5));
    }

    #[test]
    fn quantiles_are_drawn_as_prometheus_draws_them() {
        let mut sample = Sample { good: 100, ..Sample::default() };
        sample.bins[1] = 50;
        sample.bins[3] = 50;
        assert_eq!(sample.quantile_ms(0.5), Some(25.0));
        assert_eq!(sample.quantile_ms(0.99), Some(99.0));
        assert_eq!(Sample::default().quantile_ms(0.5), None);
        sample.bins[10] = 1_000;
        assert_eq!(sample.quantile_ms(0.99), Some(10_000.0));
    }
}
