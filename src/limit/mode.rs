//! Where decisions are made: shared through Redis, or alone by this instance's part. Invariant: every change is one log line and
//! one value of the gauge; coming back takes several answers in time, going away takes one broken connection or two late answers.

use parking_lot::Mutex;

use crate::cache::limiter::WindowsError;

use super::metrics;

/// Late answers in a row after which this instance decides alone.
const LATE: u32 = 2;

/// Answers in time after which limits are shared again.
const GOOD: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Mode {
    alone: std::sync::atomic::AtomicBool,
    streak: Mutex<Streak>,
}

#[derive(Debug, Default)]
struct Streak {
    late: u32,
    good: u32,
}

impl Mode {
    pub(super) fn new(alone: bool) -> Self {
        metrics::alone(alone);
        Self { alone: alone.into(), streak: Mutex::default() }
    }

    pub(super) fn is_alone(&self) -> bool {
        self.alone.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Redis answered a charge or a renewal.
    pub(super) fn answered(&self) {
        if !self.is_alone() {
            let mut streak = self.streak.lock();
            streak.late = 0;
        }
    }

    /// Redis answered the tick's sign of life in time.
    pub(super) fn alive(&self) {
        // Says nothing about the streak: a sign of life is cheap, and in time when charges are late.
        if !self.is_alone() {
            return;
        }
        let mut streak = self.streak.lock();
        streak.good += 1;
        if streak.good >= GOOD {
            streak.late = 0;
            self.switch(false);
            tracing::info!("limits are shared through Redis again");
        }
    }

    /// Redis did not answer.
    pub(super) fn failed(&self, error: &WindowsError) {
        metrics::unanswered(error);
        let mut streak = self.streak.lock();
        streak.good = 0;
        streak.late += if matches!(error, WindowsError::Late(_)) { 1 } else { LATE };
        if streak.late >= LATE && !self.is_alone() {
            self.switch(true);
            let cause = std::error::Error::source(error).map(tracing::field::display);
            tracing::warn!(%error, cause, "Redis does not answer in time; each instance keeps its own share of the limits");
        }
    }

    fn switch(&self, alone: bool) {
        self.alone.store(alone, std::sync::atomic::Ordering::Relaxed);
        metrics::alone(alone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn signs_of_life_do_not_hide_that_every_charge_is_late() {
        let mode = Mode::new(false);
        for _ in 0..2 {
            mode.alive();
            mode.failed(&WindowsError::Late(Duration::from_millis(5)));
        }
        assert!(mode.is_alone());
    }

    #[test]
    fn one_late_answer_is_forgiven_and_coming_back_takes_several_good_ones() {
        let mode = Mode::new(false);
        let late = || mode.failed(&WindowsError::Late(Duration::from_millis(5)));
        late();
        mode.answered();
        late();
        assert!(!mode.is_alone());
        late();
        assert!(mode.is_alone());
        mode.alive();
        mode.alive();
        assert!(mode.is_alone());
        mode.alive();
        assert!(!mode.is_alone());
        mode.failed(&WindowsError::Reply);
        assert!(mode.is_alone());
    }
}
