//! How long to wait before trying again. Invariant: a wait never exceeds the cap, and waits of many workers spread over the
//! whole range (full jitter), so that a database that comes back is not met by all of them at once.

use std::time::Duration;

/// The waits of the worker. Tests make all of them zero.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Upper bound of the first wait after a passing trouble; doubles each time.
    pub first: Duration,
    /// Upper bound of every wait.
    pub cap: Duration,
    /// Wait between two tries of a record that stands alone.
    pub between_tries: Duration,
    /// Wait for each dead letter while there are too many of them, up to [`MOST_AFTER_DEAD`].
    pub after_dead: Duration,
}

/// Longest wait after a batch with dead letters.
const MOST_AFTER_DEAD: Duration = Duration::from_secs(20);

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(10),
            between_tries: Duration::from_millis(50),
            after_dead: Duration::from_millis(10),
        }
    }
}

impl Patience {
    /// The wait after failure number `failures` (from 0). `share` in 0..=1 is where in the range it falls.
    pub fn wait(&self, failures: u32, share: f64) -> Duration {
        let factor = 2u32.checked_pow(failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.cap).mul_f64(share.clamp(0.0, 1.0))
    }

    /// The wait after a batch with so many dead letters.
    pub fn after_dead(&self, letters: usize) -> Duration {
        self.after_dead.saturating_mul(u32::try_from(letters).unwrap_or(u32::MAX)).min(MOST_AFTER_DEAD)
    }

    /// Waits after failure number `failures`, with full jitter.
    pub async fn pause(&self, failures: u32) {
        tokio::time::sleep(self.wait(failures, rand::random::<f64>())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_never_pass_it() {
        let patience = Patience::default();
        assert_eq!(patience.wait(0, 1.0), Duration::from_millis(100));
        assert_eq!(patience.wait(3, 1.0), Duration::from_millis(800));
        assert_eq!(patience.wait(7, 1.0), Duration::from_secs(10));
        assert_eq!(patience.wait(u32::MAX, 1.0), Duration::from_secs(10));
        assert_eq!(patience.wait(3, 0.25), Duration::from_millis(200));
        assert_eq!(patience.wait(3, 0.0), Duration::ZERO);
    }
}
