//! What the ingest station counts. Labels come from [`Outcome`]; accounts only as the busiest few and `other`.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec};

use crate::domain::id::AccountId;
use crate::domain::outcome::{Failure, Outcome, Rejection};
use crate::telemetry::metrics::int_counter_vec;
use crate::telemetry::top_accounts::TopAccounts;

static EVENTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "events_ingested_total",
        "Events by how they ended at the door; retry with log_unavailable or outcome_unknown: look at the brokers; rejected: a tenant sends what breaks the rules.",
        &["outcome", "reason"],
    )
});

static ACCOUNTS: LazyLock<TopAccounts> = LazyLock::new(|| {
    TopAccounts::new(int_counter_vec(
        "weir_account_events_total",
        "Events of the busiest 20 accounts and of all others together, by how they ended; who is it that floods us, or whose events are refused? Use rates: an account that leaves the 20 loses its series.",
        &["account", "outcome"],
    ))
});

/// The outcome nearly every event has, without a look-up.
static ACCEPTED: LazyLock<IntCounter> = LazyLock::new(|| counter(Outcome::Accepted));

fn counter(outcome: Outcome) -> IntCounter {
    EVENTS.with_label_values(&[outcome.status(), outcome.reason()])
}

/// Shows the outcomes an alert may ask for at zero, before the first of them.
pub(super) fn announce() {
    let rejected = [Rejection::Malformed, Rejection::Invalid, Rejection::TooLarge, Rejection::AccountMismatch];
    let failed = [Failure::LogAway, Failure::QueueFull, Failure::Unknown, Failure::Draining];
    [Outcome::Accepted, Outcome::Duplicate]
        .into_iter()
        .chain(rejected.map(Outcome::Rejected))
        .chain(failed.map(Outcome::Failed))
        .for_each(|outcome| counter(outcome).inc_by(0));
    LazyLock::force(&ACCOUNTS);
}

/// How the events of one request ended, by status.
#[derive(Debug, Default)]
pub(super) struct Tally {
    accepted: u64,
    duplicate: u64,
    rejected: u64,
    limited: u64,
    retry: u64,
}

impl Tally {
    /// So many events ended so.
    pub(super) fn add(&mut self, outcome: Outcome, events: usize) {
        let events = events as u64;
        let place = match outcome {
            Outcome::Accepted => {
                ACCEPTED.inc_by(events);
                self.accepted += events;
                return;
            }
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Rejected(_) => &mut self.rejected,
            Outcome::Limited(_) => &mut self.limited,
            Outcome::DeadLettered(_) | Outcome::Failed(_) => &mut self.retry,
        };
        *place += events;
        counter(outcome).inc_by(events);
    }
}

/// Files a request's events for its account.
pub(super) fn request_ended(account: &AccountId, tally: &Tally) {
    let counts = [
        ("accepted", tally.accepted),
        ("duplicate", tally.duplicate),
        ("rejected", tally.rejected),
        ("limited", tally.limited),
        ("retry", tally.retry),
    ];
    ACCOUNTS.add(account.as_str(), counts.into_iter());
}

#[cfg(test)]
pub(super) fn count(outcome: Outcome) -> u64 {
    counter(outcome).get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::render;

    #[test]
    fn a_hundred_thousand_accounts_are_a_hundred_series() {
        for i in 0..100_000 {
            let account = AccountId::new(&format!("account-{i}")).expect("account");
            let [accepted, duplicate, rejected, limited, retry] =
                std::array::from_fn(|status| u64::from(i % 5 >= status));
            request_ended(&account, &Tally { accepted, duplicate, rejected, limited, retry });
        }
        let text = String::from_utf8(render()).expect("UTF-8");
        let series = text.lines().filter(|line| line.starts_with("weir_account_events_total{")).count();
        // 20 accounts and all others, by five statuses.
        assert!((5..=105).contains(&series), "{series}");
    }
}
