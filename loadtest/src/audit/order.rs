//! Order per account, topic and partition, as far as receipts show it. Invariant: when one answer came before another request
//! of the same account left, its offsets are the smaller ones; within a batch, offsets rise in request order.
//!
//! Requests in the air at the same time have no order to keep, so nothing is said about them.

use std::collections::HashMap;

use crate::journal::{Attempt, Item, Placed};

/// Account, topic, partition.
type Stream = (u32, u16, i32);

/// The offsets one answer gave in one stream.
#[derive(Debug, Clone, Copy)]
struct Span {
    sent: u64,
    answered: u64,
    first: i64,
    last: i64,
    request: u64,
}

/// Receipts of one run.
#[derive(Debug, Default)]
pub(super) struct Orders {
    streams: HashMap<Stream, Vec<Span>>,
    violations: Vec<String>,
}

impl Orders {
    /// Takes the receipts of an answer.
    pub(super) fn answered(&mut self, attempt: &Attempt, at: u64, items: &[Item]) {
        let mut spans: Vec<(Stream, Span)> = Vec::new();
        for item in items {
            let Item::Accepted(Some(Placed { topic, partition, offset })) = *item else { continue };
            let stream = (attempt.account, topic, partition);
            match spans.iter_mut().find(|(known, _)| *known == stream) {
                Some((_, span)) => {
                    if offset <= span.last {
                        self.violations.push(format!(
                            "request {}: offset {offset} after {} within one batch, partition {partition}",
                            attempt.request, span.last
                        ));
                    }
                    span.first = span.first.min(offset);
                    span.last = span.last.max(offset);
                }
                None => {
                    let (sent, request) = (attempt.sent, attempt.request);
                    spans.push((stream, Span { sent, answered: at, first: offset, last: offset, request }));
                }
            }
        }
        for (stream, span) in spans {
            self.streams.entry(stream).or_default().push(span);
        }
    }

    /// What broke the order.
    pub(super) fn violations(mut self, run: &str) -> Vec<String> {
        for ((account, _, partition), spans) in self.streams {
            let mut by_answer = spans.clone();
            let mut by_sending = spans;
            by_answer.sort_unstable_by_key(|span| span.answered);
            by_sending.sort_unstable_by_key(|span| span.sent);
            let mut answered = by_answer.iter().peekable();
            let mut highest: Option<Span> = None;
            for span in by_sending {
                while let Some(earlier) = answered.next_if(|earlier| earlier.answered < span.sent) {
                    if highest.is_none_or(|highest| earlier.last > highest.last) {
                        highest = Some(*earlier);
                    }
                }
                if let Some(earlier) = highest
                    && earlier.last >= span.first
                {
                    self.violations.push(format!(
                        "run {run} account {account} partition {partition}: request {} got offset {} after request {} \
                         had got {}",
                        span.request, span.first, earlier.request, earlier.last
                    ));
                }
            }
        }
        self.violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(offset: i64) -> Item {
        Item::Accepted(Some(Placed { topic: 0, partition: 0, offset }))
    }

    fn violations(answers: &[(u64, u64, &[i64])]) -> usize {
        let mut orders = Orders::default();
        for (request, &(sent, at, offsets)) in answers.iter().enumerate() {
            let (request, count) = (request as u64, offsets.len() as u32);
            let attempt = Attempt { request, attempt: 0, account: 0, first: 0, count, due: 0, sent };
            orders.answered(&attempt, at, &offsets.iter().copied().map(placed).collect::<Vec<_>>());
        }
        orders.violations("r").len()
    }

    #[test]
    fn requests_one_after_the_other_rise() {
        assert_eq!(violations(&[(0, 1, &[5]), (2, 3, &[6]), (4, 5, &[9])]), 0);
        assert_eq!(violations(&[(0, 1, &[5]), (2, 3, &[4])]), 1);
    }

    #[test]
    fn requests_at_the_same_time_may_swap() {
        assert_eq!(violations(&[(0, 3, &[6]), (1, 4, &[5])]), 0);
    }

    #[test]
    fn a_batch_keeps_its_order() {
        assert_eq!(violations(&[(0, 1, &[5, 6, 9])]), 0);
        assert_eq!(violations(&[(0, 1, &[5, 7, 6])]), 1);
    }
}
