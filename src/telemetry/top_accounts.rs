//! Which accounts have a metric series of their own: the busiest few, everybody else is `other`. Invariant: at most
//! [`NAMED`] names at any time and at most that many new ones an election, whatever number of accounts calls.
//!
//! Space-Saving (Metwally et al. 2005): a bounded table in which a newcomer takes the place, and for safety the count, of the
//! smallest. What an account has above the count it took over is certainly its own, and decides the election.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntCounterVec;

/// Accounts with a series of their own.
const NAMED: usize = 20;

/// Accounts that are watched for the next election.
const WATCHED: usize = 8 * NAMED;

/// Distance between elections: bounds how many series a day of changing crowds leaves in Prometheus.
const TERM: Duration = Duration::from_secs(300);

/// Everybody without a series of their own.
const OTHER: &str = "other";

/// A counter with the labels `account` and one more from a closed set, for the busiest accounts.
pub struct TopAccounts {
    counters: IntCounterVec,
    state: Mutex<State>,
}

struct State {
    seats: Seats,
    elected: Instant,
}

/// The pure part: who is watched, and who has a seat.
#[derive(Debug, Default)]
struct Seats {
    watched: HashMap<Box<str>, Weight>,
    named: Vec<Box<str>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    events: u64,
    /// Of these, how many were taken over with the place.
    inherited: u64,
}

impl TopAccounts {
    /// Counts into `counters`, whose first label is the account.
    pub fn new(counters: IntCounterVec) -> Self {
        Self { counters, state: Mutex::new(State { seats: Seats::default(), elected: Instant::now() }) }
    }

    /// Adds what one request of an account came to, by the second label.
    pub fn add(&self, account: &str, counts: impl Iterator<Item = (&'static str, u64)> + Clone) {
        let events = counts.clone().map(|(_, count)| count).sum();
        let named = {
            let mut state = self.state.lock();
            if state.elected.elapsed() >= TERM {
                state.elected = Instant::now();
                for gone in state.seats.elect() {
                    self.forget(&gone, counts.clone().map(|(label, _)| label));
                }
            }
            state.seats.count(account, events)
        };
        for (label, count) in counts.filter(|(_, count)| *count > 0) {
            self.counters.with_label_values(&[if named { account } else { OTHER }, label]).inc_by(count);
        }
    }

    /// Takes an account's series out of the output. One that was never made is no loss.
    fn forget(&self, account: &str, labels: impl Iterator<Item = &'static str>) {
        for label in labels {
            if self.counters.remove_label_values(&[account, label]).is_err() {
                tracing::trace!(label, "an account without this series lost its seat");
            }
        }
    }
}

impl Seats {
    /// Notes events of an account; whether it has a seat.
    fn count(&mut self, account: &str, events: u64) -> bool {
        if let Some(weight) = self.watched.get_mut(account) {
            weight.events += events;
        } else {
            let inherited = if self.watched.len() < WATCHED { 0 } else { self.drop_smallest() };
            self.watched.insert(account.into(), Weight { events: events + inherited, inherited });
        }
        let seated = self.named.iter().any(|name| &**name == account);
        // A service with few accounts names them all at once.
        let free = !seated && self.named.len() < NAMED && account != OTHER;
        if free {
            self.named.push(account.into());
        }
        seated || free
    }

    fn drop_smallest(&mut self) -> u64 {
        let smallest = self.watched.iter().min_by_key(|(_, weight)| weight.events);
        let Some((name, weight)) = smallest.map(|(name, weight)| (name.clone(), *weight)) else { return 0 };
        self.watched.remove(&name);
        weight.events
    }

    /// Gives the seats to those who are certainly the busiest, forgets half of the past, and names who lost a seat.
    fn elect(&mut self) -> Vec<Box<str>> {
        let mut ranked: Vec<_> =
            self.watched.iter().map(|(name, weight)| (weight.events - weight.inherited, name.clone())).collect();
        ranked.sort_by(|a, b| b.cmp(a));
        let seated: Vec<_> =
            ranked.into_iter().map(|(_, name)| name).filter(|name| &**name != OTHER).take(NAMED).collect();
        let gone = self.named.drain(..).filter(|name| !seated.contains(name)).collect();
        self.named = seated;
        self.watched.retain(|_, weight| {
            *weight = Weight { events: weight.events / 2, inherited: weight.inherited / 2 };
            weight.events > 0
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_accounts_get_seats_at_once_and_the_rest_does_not() {
        let mut seats = Seats::default();
        let seated = (0..100_000).filter(|i| seats.count(&format!("a{i}"), 1)).count();
        assert_eq!(seated, NAMED);
        assert_eq!((seats.named.len(), seats.watched.len()), (NAMED, WATCHED));
        assert!(!Seats::default().count(OTHER, 1), "an account of that name must not pass for everybody else");
    }

    #[test]
    fn a_whale_that_comes_late_has_a_seat_after_the_election() {
        let mut seats = Seats::default();
        for i in 0..5_000 {
            seats.count(&format!("crowd{i}"), 1);
        }
        for i in 0..3_000 {
            seats.count("whale", 10);
            seats.count(&format!("late{i}"), 1);
        }
        let gone = seats.elect();
        assert!(seats.named.iter().any(|name| &**name == "whale"));
        assert!(!gone.is_empty() && seats.named.len() == NAMED);
        assert!(seats.count("whale", 1));
    }
}
