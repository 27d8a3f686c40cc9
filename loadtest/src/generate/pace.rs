//! When each request is due. Invariant: the due times are fixed before the run and never move with the answers, so a slow
//! service cannot slow its own measurement (no coordinated omission).

use std::time::Duration;

/// A stretch of time over which the rate goes in a straight line from one value to another.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    from: f64,
    to: f64,
    seconds: f64,
}

impl Stretch {
    /// Requests due within the stretch.
    fn requests(self) -> f64 {
        (self.from + self.to) / 2.0 * self.seconds
    }

    /// Seconds into the stretch at which `count` requests have become due: the inverse of `from·t + (to−from)/(2·s)·t²`.
    fn due(self, count: f64) -> f64 {
        let slope = (self.to - self.from) / self.seconds;
        if slope.abs() < f64::EPSILON {
            return count / self.from;
        }
        let root = (self.from * self.from + 2.0 * slope * count).max(0.0).sqrt();
        (root - self.from) / slope
    }
}

/// The shape of a run: what rate is offered when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// One rate throughout.
    Steady,
    /// A tenth at a tenth of the rate, a climb over six tenths, the rest at the rate: 2,000 to 20,000 at `--rate 20000`.
    #[value(name = "ramp-2k-20k")]
    Ramp,
    /// The rate, ten times the rate for the middle fifth, the rate again.
    Spike,
    /// One rate, most of it from a single account.
    WhaleAndMinnows,
    /// One rate for an hour unless told otherwise.
    Soak,
}

impl Profile {
    /// Seconds a run takes when none are given.
    pub fn default_seconds(self) -> u64 {
        match self {
            Self::Steady | Self::Spike | Self::WhaleAndMinnows => 30,
            Self::Ramp => 60,
            Self::Soak => 3_600,
        }
    }

    fn stretches(self, rate: f64, seconds: f64) -> Vec<Stretch> {
        let piece =
            |from: f64, to: f64, share: f64| Stretch { from: from * rate, to: to * rate, seconds: share * seconds };
        match self {
            Self::Steady | Self::WhaleAndMinnows | Self::Soak => vec![piece(1.0, 1.0, 1.0)],
            Self::Ramp => vec![piece(0.1, 0.1, 0.1), piece(0.1, 1.0, 0.6), piece(1.0, 1.0, 0.3)],
            Self::Spike => vec![piece(1.0, 1.0, 0.4), piece(10.0, 10.0, 0.2), piece(1.0, 1.0, 0.4)],
        }
    }
}

/// The time table of a run.
#[derive(Debug, Clone)]
pub enum Pace {
    /// Requests fall due by the clock, whatever the service does.
    Open(Schedule),
    /// Each connection sends as soon as it has its answer: for CPU per event, never for latency.
    Closed {
        /// When to stop.
        run_for: Duration,
    },
}

/// Due times of an open loop.
#[derive(Debug, Clone)]
pub struct Schedule {
    stretches: Vec<Stretch>,
    limit: u64,
}

impl Schedule {
    /// A profile at `rate` requests a second (its highest level but for the spike's) for `seconds`, at most `limit` requests.
    pub fn new(profile: Profile, rate: f64, seconds: u64, limit: u64) -> Self {
        Self { stretches: profile.stretches(rate.max(0.001), seconds.max(1) as f64), limit }
    }

    /// When request number `index` (from 0) is due after the start; `None` past the end.
    pub fn due(&self, index: u64) -> Option<Duration> {
        if index >= self.limit {
            return None;
        }
        let mut left = index as f64;
        let mut start = 0.0;
        for stretch in &self.stretches {
            if left < stretch.requests() {
                return Some(Duration::from_secs_f64(start + stretch.due(left)));
            }
            left -= stretch.requests();
            start += stretch.seconds;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(schedule: &Schedule) -> Vec<f64> {
        (0..).map_while(|index| schedule.due(index)).map(|due| due.as_secs_f64()).collect()
    }

    #[test]
    fn steady_is_evenly_spaced_and_ends() {
        let times = dues(&Schedule::new(Profile::Steady, 100.0, 2, u64::MAX));
        assert_eq!(times.len(), 200);
        assert!((times[150] - 1.5).abs() < 1e-9);
    }

    #[test]
    fn the_limit_ends_a_run_early() {
        assert_eq!(dues(&Schedule::new(Profile::Steady, 100.0, 2, 7)).len(), 7);
    }

    #[test]
    fn the_ramp_climbs_from_a_tenth_to_the_whole_rate() {
        let times = dues(&Schedule::new(Profile::Ramp, 1_000.0, 10, u64::MAX));
        let within = |from: f64, to: f64| times.iter().filter(|time| (from..to).contains(*time)).count();
        assert_eq!(within(0.0, 1.0), 100);
        assert!((within(3.5, 4.5) as i64 - 550).abs() <= 2, "{}", within(3.5, 4.5));
        assert!((within(8.0, 9.0) as i64 - 1_000).abs() <= 2, "{}", within(8.0, 9.0));
        assert!(times.is_sorted());
    }

    #[test]
    fn the_spike_is_ten_times_as_high() {
        let times = dues(&Schedule::new(Profile::Spike, 100.0, 10, u64::MAX));
        assert_eq!(times.iter().filter(|time| (4.0..6.0).contains(*time)).count(), 2_000);
    }
}
