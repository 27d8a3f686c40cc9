//! Whether publishing is worth trying. Invariant: while the log is away a caller learns it from one atomic load, and after it
//! came back only a trickle is let through until the first acknowledgement.
//!
//! `Closed` (all pass) → `Open` (none passes; the watcher probes) → `Trial` (the log answers metadata, which does not prove that
//! it takes records: one publish per [`TRIAL_EVERY`]) → `Closed` with the first acknowledgement, or `Open` again.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::metrics;

/// Distance between publishes that are let through on trial.
pub(super) const TRIAL_EVERY: Duration = Duration::from_millis(50);

/// The breaker's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    Closed,
    Open,
    Trial,
}

/// The breaker in front of the producer.
#[derive(Debug)]
pub(super) struct Breaker {
    state: AtomicU8,
    born: Instant,
    /// Milliseconds after `born` from which the next trial may pass.
    next_trial: AtomicU64,
}

impl Breaker {
    pub(super) fn new(state: State) -> Self {
        let breaker = Self { state: AtomicU8::new(state as u8), born: Instant::now(), next_trial: AtomicU64::new(0) };
        metrics::breaker(state);
        breaker
    }

    pub(super) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Closed,
            1 => State::Open,
            _ => State::Trial,
        }
    }

    /// Whether this publish may pass.
    pub(super) fn admits(&self) -> bool {
        match self.state() {
            State::Closed => true,
            State::Open => false,
            State::Trial => self.takes_trial(self.born.elapsed()),
        }
    }

    fn takes_trial(&self, elapsed: Duration) -> bool {
        let now = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let due = self.next_trial.load(Ordering::Relaxed);
        let next = now.saturating_add(TRIAL_EVERY.as_millis() as u64);
        now >= due && self.next_trial.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// A record was acknowledged: ends a trial. Does nothing while open, for acknowledgements that were on their way when
    /// the log went.
    pub(super) fn acknowledged(&self) {
        if self.state.load(Ordering::Relaxed) == State::Trial as u8 {
            self.change(State::Trial, State::Closed);
        }
    }

    /// Moves from `from` to `to`; false when the state was another by then.
    pub(super) fn change(&self, from: State, to: State) -> bool {
        let moved = self.state.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if moved {
            metrics::breaker(to);
        }
        moved
    }

    /// Refuses from now on.
    pub(super) fn open(&self) {
        self.state.store(State::Open as u8, Ordering::Release);
        metrics::breaker(State::Open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_tries_and_closes_with_the_first_acknowledgement() {
        let breaker = Breaker::new(State::Closed);
        assert!(breaker.admits());
        breaker.open();
        breaker.acknowledged();
        assert!(!breaker.admits(), "a late acknowledgement does not close it");
        assert!(breaker.change(State::Open, State::Trial));
        breaker.acknowledged();
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn a_trial_lets_one_publish_through_at_a_time() {
        let breaker = Breaker::new(State::Trial);
        let start = Duration::from_millis(10);
        assert!(breaker.takes_trial(start));
        assert!(!breaker.takes_trial(start));
        assert!(!breaker.takes_trial(start + TRIAL_EVERY / 2));
        assert!(breaker.takes_trial(start + TRIAL_EVERY));
    }
}
