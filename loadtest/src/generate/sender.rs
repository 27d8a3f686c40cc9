//! One connection's work: take the next request, wait until it is due, note it, send it, note the answer, try again as a client
//! should. Invariant: latency counts from the due time, so waiting for a free connection is part of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::accounts::{Accounts, scramble};
use super::client::{Answer, Client, Lost};
use super::pace::Pace;
use super::payload::Payload;
use super::tally::Tally;
use super::{Plan, Progress, answer};
use crate::journal::{Attempt, Item, Journal};

/// What all senders of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) accounts: Accounts,
    /// Request heads by account.
    pub(super) heads: Vec<String>,
    pub(super) run: String,
    pub(super) start_micros: i64,
    pub(super) journal: Journal,
    pub(super) start: Instant,
    pub(super) next: AtomicU64,
    pub(super) stop: CancellationToken,
    pub(super) progress: Arc<Progress>,
    /// One for all senders: its histograms are a megabyte, and they share a thread.
    pub(super) tally: Mutex<Tally>,
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// How one try ended.
struct Tried {
    status: Option<u16>,
    items: Vec<Item>,
    again_after: Option<Duration>,
}

/// One connection.
pub(super) struct Sender {
    shared: Arc<Shared>,
    client: Client,
    payload: Payload,
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let client = Client::new(shared.plan.peer);
        let payload = Payload::new(&shared.run, shared.plan.batch.is_some(), shared.start_micros);
        Self { shared, client, payload }
    }

    /// Works until the time table ends or the run is stopped.
    pub(super) async fn run(mut self) -> std::io::Result<()> {
        let shared = self.shared.clone();
        while !shared.stop.is_cancelled() {
            let request = shared.next.fetch_add(1, Ordering::Relaxed);
            let due = match &shared.plan.pace {
                Pace::Open(schedule) => match schedule.due(request) {
                    Some(due) => due,
                    None => break,
                },
                Pace::Closed { run_for } if shared.start.elapsed() < *run_for => shared.start.elapsed(),
                Pace::Closed { .. } => break,
            };
            let at = shared.start + due;
            if at > Instant::now() && shared.stop.run_until_cancelled(tokio::time::sleep_until(at)).await.is_none() {
                break;
            }
            self.request(request, u64::try_from(due.as_micros()).unwrap_or(u64::MAX)).await?;
        }
        Ok(())
    }

    /// Sends one request until it is answered for good or its tries are spent.
    async fn request(&mut self, request: u64, due: u64) -> std::io::Result<()> {
        let shared = self.shared.clone();
        let count = shared.plan.batch.unwrap_or(1);
        let account = shared.accounts.pick(request);
        let mut attempt = Attempt {
            request,
            attempt: 0,
            account: u32::try_from(account).unwrap_or(u32::MAX),
            first: request * u64::from(count),
            count,
            due,
            sent: 0,
        };
        let tried = loop {
            attempt.sent = shared.journal.now();
            if attempt.attempt == 0 {
                shared.count(|tally| tally.send_lag.record(attempt.sent.saturating_sub(due)));
            }
            shared.progress.sent.fetch_add(u64::from(count), Ordering::Relaxed);
            let tried = self.attempt(account, &attempt).await?;
            match tried.again_after {
                Some(pause) if attempt.attempt < shared.plan.retries => {
                    if shared.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                        break tried;
                    }
                    attempt.attempt += 1;
                    shared.count(|tally| tally.retries += 1);
                }
                _ => break tried,
            }
        };
        let latency = shared.journal.now().saturating_sub(due);
        let whale = shared.plan.has_whale() && account == 0;
        shared.count(|tally| {
            if tried.status.is_some() {
                if whale { &mut tally.whale_latency } else { &mut tally.latency }.record(latency);
            }
            tally.finish(tried.status, &tried.items, count);
        });
        Ok(())
    }

    /// One try: journal, request, journal.
    async fn attempt(&mut self, account: usize, attempt: &Attempt) -> std::io::Result<Tried> {
        let journal = &self.shared.journal;
        journal.attempt(attempt)?;
        let bytes = self.payload.render(&self.shared.heads[account], attempt);
        match self.client.call(bytes, self.shared.plan.timeout).await {
            Ok(spoken) => {
                let at = journal.now();
                let items = answer::items(&spoken, attempt.count, journal)?;
                journal.answer(attempt, at, spoken.status, items.clone())?;
                self.shared.count(|tally| {
                    tally.service_time.record(at.saturating_sub(attempt.sent));
                    *tally.statuses.entry(spoken.status).or_default() += 1;
                });
                let taken = items.iter().filter(|item| matches!(item, Item::Accepted(_))).count();
                self.shared.progress.accepted.fetch_add(taken as u64, Ordering::Relaxed);
                let again_after = asks_again(&spoken, &items).then(|| pause(attempt, spoken.retry_after));
                Ok(Tried { status: Some(spoken.status), items, again_after })
            }
            Err(lost) => {
                journal.lost(attempt, journal.now(), lost)?;
                self.shared.count(|tally| tally.lose(lost));
                let again_after = (lost != Lost::Garbled).then(|| pause(attempt, None));
                Ok(Tried { status: None, items: Vec::new(), again_after })
            }
        }
    }
}

/// Whether a client should send the same request again: the service could not take it, or not all of it.
fn asks_again(answer: &Answer<'_>, items: &[Item]) -> bool {
    matches!(answer.status, 503 | 504) || items.contains(&Item::Retry)
}

/// The pause before the next try: what the service asked for, else doubling from 100 ms to 2 s, with up to half of it added so
/// that clients do not come back in step.
fn pause(attempt: &Attempt, retry_after: Option<u32>) -> Duration {
    let base = match retry_after {
        Some(seconds) => u64::from(seconds) * 1_000,
        None => 100 << attempt.attempt.min(4),
    };
    let spread = scramble(attempt.request ^ (u64::from(attempt.attempt) << 48)) % (base / 2 + 1);
    Duration::from_millis((base + spread).min(3_000))
}
