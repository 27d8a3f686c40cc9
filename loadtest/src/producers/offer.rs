//! Records offered by a time table. Invariant: a call is handed over when it is due, in the order of the numbers, whatever became of
//! those before it; its time counts from when it was due.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;
use weir::kafka::{Placement, Publish, PublishError, Record};

use crate::generate::event_text;
use crate::journal::event_id;

/// Accounts, and so keys.
const KEYS: u64 = 64;

/// The run that [`event_text`] writes into ids.
pub(super) const RUN: &str = "raw";

/// What is offered to whom.
pub(super) struct Offer {
    /// Who takes it.
    pub(super) publisher: Arc<dyn Publish>,
    /// Where it goes.
    pub(super) topic: Arc<str>,
    /// Records a second.
    pub(super) rate: u64,
    /// Records of a call; those of one call have one key, as the events of one request have one account.
    pub(super) batch: u64,
    /// How long a call waits for its acknowledgements.
    pub(super) patience: Duration,
}

/// What became of one call.
pub(super) struct Answer {
    /// Number of its first record.
    pub(super) first: u64,
    /// When it was due, after the start.
    pub(super) due: Duration,
    /// When it was answered, after the start.
    pub(super) answered: Duration,
    /// In the order of the records.
    pub(super) results: Vec<Result<Placement, PublishError>>,
}

impl Offer {
    /// Offers records for so long or until told to stop, and waits for all answers.
    pub(super) async fn run(&self, first: u64, length: Duration, stop: &AtomicBool) -> Vec<Answer> {
        let start = Instant::now();
        let calls = length.as_micros() as u64 * self.rate / (1_000_000 * self.batch);
        let mut waiting = FuturesUnordered::new();
        let mut answers = Vec::new();
        for call in 0..calls {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let due = Duration::from_micros(call * self.batch * 1_000_000 / self.rate);
            while Instant::now() < start + due {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(start + due) => break,
                    Some(answer) = waiting.next(), if !waiting.is_empty() => answers.push(answer),
                }
            }
            let mut made = Box::pin(self.call(first + call * self.batch, due, start));
            // Looked at here once, so that calls are handed over one after the other.
            match futures_util::poll!(&mut made) {
                Poll::Ready(answer) => answers.push(answer),
                Poll::Pending => waiting.push(made),
            }
        }
        answers.extend(waiting.collect::<Vec<_>>().await);
        answers
    }

    async fn call(&self, first: u64, due: Duration, start: Instant) -> Answer {
        let account = Bytes::from(format!("account-{}", first / self.batch % KEYS));
        let records = (first..first + self.batch).map(|number| record(&self.topic, number, &account)).collect();
        let results = self.publisher.publish(records, Instant::now() + self.patience).await;
        Answer { first, due, answered: start.elapsed(), results }
    }
}

/// A record as the service makes them: account for key, event for value, five headers.
fn record(topic: &Arc<str>, number: u64, account: &Bytes) -> Record {
    let header = |name: &'static str, value: Bytes| (Cow::Borrowed(name), Some(value));
    Record {
        topic: Arc::clone(topic),
        key: Some(account.clone()),
        value: Some(Bytes::from(event_text(number))),
        headers: vec![
            header("account_id", account.clone()),
            header("event_id", Bytes::from(event_id(RUN, number))),
            header("received_at", Bytes::from_static(b"2026-11-22T12:00:00.000000Z")),
            header("request_id", Bytes::from_static(b"01JD9Z0Q5V8X4T7N2M6K3H1R0W")),
            header("v", Bytes::from_static(b"1")),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::super::Nobody;
    use super::*;

    #[tokio::test]
    async fn every_record_is_offered_once_and_when_it_is_due() {
        let offer = Offer {
            publisher: Arc::new(Nobody),
            topic: Arc::from("t"),
            rate: 1_000,
            batch: 10,
            patience: Duration::from_secs(1),
        };
        let answers = offer.run(50, Duration::from_millis(200), &AtomicBool::new(false)).await;
        assert!(answers.iter().map(|answer| answer.first).eq((50..250).step_by(10)));
        assert!(answers.iter().all(|answer| answer.results.len() == 10 && answer.due <= answer.answered));
        assert_eq!(answers[19].due, Duration::from_millis(190));
        assert!(offer.run(0, Duration::from_secs(9), &AtomicBool::new(true)).await.is_empty());
    }
}
