//! What clients saw while something was broken, read from the journal. Invariant: only what was sent within a span speaks for it,
//! so an answer is blamed on the weather it was asked in.

use std::collections::{BTreeMap, HashMap};

use crate::audit::{End, Tried};
use crate::generate::{Latency, Percentiles};

/// Microseconds of a millisecond.
const MILLI: i64 = 1_000;

/// A span of wall time, µs since 1970, the end excluded.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Start.
    pub from: i64,
    /// End.
    pub to: i64,
}

/// All tries of a run in the order of their sending.
#[derive(Debug)]
pub struct Weather(Vec<Tried>);

impl Weather {
    /// Sorts the tries.
    pub fn new(tries: &[Tried]) -> Self {
        let mut tries = tries.to_vec();
        tries.sort_unstable_by_key(|tried| tried.sent);
        Self(tries)
    }

    fn within(&self, span: Span) -> impl Iterator<Item = &Tried> {
        self.0.iter().filter(move |tried| (span.from..span.to).contains(&tried.sent))
    }

    /// Tries sent in the span, and how many of them ended with the status.
    pub fn share(&self, span: Span, status: u16) -> (u64, u64) {
        let hits = self.within(span).filter(|tried| tried.end == End::Status(status)).count() as u64;
        (hits, self.within(span).count() as u64)
    }

    /// Requests that were sent, and those of them that were taken in the end.
    pub fn taken_in_the_end(&self) -> (u64, u64) {
        let mut requests = HashMap::<_, bool>::new();
        for tried in &self.0 {
            *requests.entry(tried.request).or_default() |= tried.end == End::Status(202);
        }
        (requests.values().filter(|taken| **taken).count() as u64, requests.len() as u64)
    }

    /// What one account's clients or all others' saw.
    #[must_use]
    pub fn only(&self, choose: impl Fn(u32) -> bool) -> Self {
        Self(self.0.iter().filter(|tried| choose(tried.account)).copied().collect())
    }

    /// Tries sent in the span by how they ended, in words.
    pub fn endings(&self, span: Span) -> String {
        let mut endings = BTreeMap::<String, u64>::new();
        for tried in self.within(span) {
            let name = match tried.end {
                End::Status(status) => status.to_string(),
                End::Lost(lost) => lost.as_str().to_owned(),
                End::Unknown => "unknown".to_owned(),
            };
            *endings.entry(name).or_default() += 1;
        }
        endings.iter().map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join(", ")
    }

    /// How long answers with the status took that were asked for in the span.
    pub fn latency(&self, span: Span, status: u16) -> Percentiles {
        let mut latency = Latency::default();
        for tried in self.within(span).filter(|tried| tried.end == End::Status(status)) {
            latency.record(u64::try_from(tried.ended.unwrap_or(tried.sent) - tried.sent).unwrap_or(0));
        }
        latency.percentiles()
    }

    /// Milliseconds from `from` until an answer with the status came to something asked for since.
    pub fn first_after(&self, from: i64, status: u16) -> Option<i64> {
        let answers = self.0.iter().filter(|tried| tried.sent >= from && tried.end == End::Status(status));
        answers.filter_map(|tried| tried.ended).min().map(|ended| (ended - from) / MILLI)
    }

    /// The slowest answer of any kind to something asked for in the span, in ms.
    pub fn slowest(&self, span: Span) -> i64 {
        self.within(span).filter_map(|tried| Some(tried.ended? - tried.sent)).max().unwrap_or(0) / MILLI
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(sent: i64, took: i64, status: u16) -> Tried {
        let (request, account) = ((0, u64::from(status)), 0);
        Tried { request, account, sent: sent * MILLI, ended: Some((sent + took) * MILLI), end: End::Status(status) }
    }

    #[test]
    fn answers_count_for_the_span_they_were_asked_in() {
        let weather = Weather::new(&[tried(30, 1, 202), tried(0, 5, 202), tried(10, 2_000, 503), tried(12, 3, 503)]);
        let fault = Span { from: 10 * MILLI, to: 20 * MILLI };
        assert_eq!(weather.share(fault, 503), (2, 2));
        assert_eq!(weather.share(fault, 202), (0, 2));
        assert_eq!(weather.first_after(fault.from, 503), Some(5));
        assert_eq!(weather.first_after(fault.to, 202), Some(11));
        assert_eq!(weather.slowest(fault), 2_000);
        assert_eq!(weather.latency(fault, 503).count, 2);
        assert_eq!(weather.taken_in_the_end(), (1, 2));
        assert_eq!(weather.endings(Span { from: 0, to: fault.to }), "202: 1, 503: 2");
    }
}
