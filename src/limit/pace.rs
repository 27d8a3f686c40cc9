//! How to go on sending, told before a limit is met. Invariant: whoever sends no more than so many events each time, and waits so
//! long between, spends at most what is left within a window, and so is not refused.

use crate::domain::outcome::Policy;

use super::refusal::PolicyView;

/// Told once less than one part in so many of a limit is left.
const SCARCE: i64 = 4;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Events to send at a time.
    pub batch_events: i64,
    /// Milliseconds from one batch to the next.
    pub delay_ms: i64,
}

impl Pace {
    /// A pace that spreads what is left of the policy over its window in batches of at most `most`, once little is left.
    pub(super) fn of(view: &PolicyView, most: i64) -> Option<Self> {
        let spread = matches!(view.policy, Policy::Sustained | Policy::Burst);
        if !spread || view.remaining.saturating_mul(SCARCE) >= view.limit {
            return None;
        }
        let batch_events = (view.remaining / view.window_seconds).clamp(1, most.max(1));
        let left = view.remaining.max(1);
        let window_ms = view.window_seconds * 1_000;
        let delay_ms = (batch_events * window_ms + left - 1) / left;
        Some(Self { batch_events, delay_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quota::Mode;

    fn view(policy: Policy, limit: i64, window_seconds: i64, remaining: i64) -> PolicyView {
        let used = limit - remaining;
        PolicyView {
            policy,
            limit,
            window_seconds,
            used,
            remaining,
            reset_seconds: window_seconds,
            mode: Mode::Enforce,
        }
    }

    #[test]
    fn nothing_is_said_while_there_is_room() {
        assert_eq!(Pace::of(&view(Policy::Sustained, 60_000, 60, 15_000), 1_000), None);
        assert_eq!(Pace::of(&view(Policy::Bytes, 60_000, 60, 1), 1_000), None, "an event has no weight yet");
    }

    #[test]
    fn what_is_left_is_spread_over_the_window() {
        let pace = |limit, left| Pace::of(&view(Policy::Sustained, limit, 60, left), 1_000);
        assert_eq!(pace(60_000, 12_000), Some(Pace { batch_events: 200, delay_ms: 1_000 }));
        assert_eq!(pace(60, 10), Some(Pace { batch_events: 1, delay_ms: 6_000 }));
        assert_eq!(pace(60, 0), Some(Pace { batch_events: 1, delay_ms: 60_000 }));
        assert_eq!(pace(10_000_000, 600_000), Some(Pace { batch_events: 1_000, delay_ms: 100 }));
    }

    proptest::proptest! {
        #[test]
        fn a_window_of_the_pace_is_never_more_than_what_is_left(limit in 1_i64..10_000_000, part in 0.0_f64..0.25) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a test value")]
            let left = (limit as f64 * part) as i64;
            if let Some(pace) = Pace::of(&view(Policy::Sustained, limit, 60, left), 1_000) {
                let batches = 60_000_i64 / pace.delay_ms;
                proptest::prop_assert!(batches * pace.batch_events <= left.max(1));
            }
        }
    }
}
