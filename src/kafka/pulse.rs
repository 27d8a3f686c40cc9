//! What the delivery callbacks tell the watcher, in counters. Invariant: writing is one relaxed addition; only the watcher reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counters of one producer, shared by its callbacks, its callers and its watcher.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Records handed over.
    pub(super) sent: AtomicU64,
    /// Records acknowledged.
    pub(super) acked: AtomicU64,
    /// Records whose delivery failed, whatever the reason.
    pub(super) failed: AtomicU64,
    /// Set when librdkafka has no broker left.
    pub(super) all_down: AtomicBool,
    /// Set when the idempotent producer cannot go on.
    pub(super) fatal: AtomicBool,
}

/// For how long records have been waiting without a single acknowledgement.
#[derive(Debug)]
pub(super) struct Stall {
    acked: u64,
    failed: u64,
    since: Instant,
}

impl Stall {
    pub(super) fn new(now: Instant) -> Self {
        Self { acked: 0, failed: 0, since: now }
    }

    /// Looks at the counters and says how long nothing has moved. An acknowledgement, or having nothing to wait for, is
    /// movement; failures that leave nothing to wait for are not.
    pub(super) fn observe(&mut self, pulse: &Pulse, now: Instant) -> Duration {
        let acked = pulse.acked.load(Ordering::Relaxed);
        let failed = pulse.failed.load(Ordering::Relaxed);
        let waiting = pulse.sent.load(Ordering::Relaxed).saturating_sub(acked + failed) > 0;
        if acked != self.acked || (!waiting && failed == self.failed) {
            self.since = now;
        }
        (self.acked, self.failed) = (acked, failed);
        now - self.since
    }

    /// Starts counting anew.
    pub(super) fn reset(&mut self, now: Instant) {
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    #[test]
    fn an_idle_log_is_not_a_stalled_one() {
        let (pulse, start) = (Pulse::default(), Instant::now());
        let mut stall = Stall::new(start);
        assert_eq!(stall.observe(&pulse, start + 50 * STEP), Duration::ZERO);
    }

    #[test]
    fn waiting_without_an_acknowledgement_adds_up_until_one_comes() {
        let (pulse, start) = (Pulse::default(), Instant::now());
        let mut stall = Stall::new(start);
        pulse.sent.store(2, Ordering::Relaxed);
        assert_eq!(stall.observe(&pulse, start + STEP), STEP);
        assert_eq!(stall.observe(&pulse, start + 5 * STEP), 5 * STEP);
        pulse.acked.store(1, Ordering::Relaxed);
        assert_eq!(stall.observe(&pulse, start + 6 * STEP), Duration::ZERO);
    }

    #[test]
    fn records_that_fail_do_not_count_as_movement() {
        let (pulse, start) = (Pulse::default(), Instant::now());
        let mut stall = Stall::new(start);
        pulse.sent.store(1, Ordering::Relaxed);
        stall.observe(&pulse, start + STEP);
        pulse.failed.store(1, Ordering::Relaxed);
        assert_eq!(stall.observe(&pulse, start + 2 * STEP), 2 * STEP);
        assert_eq!(stall.observe(&pulse, start + 3 * STEP), Duration::ZERO, "nothing waits any more");
    }
}
