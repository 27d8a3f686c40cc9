//! Ranges of time in questions and answers. Invariant: `from <= to`, both inclusive at one-second resolution (point 65), and
//! never longer than the bound of the caller.

use super::time::{SECOND, TimeError, Timestamp};

/// Length of one bucket of `event_counts`: 15 minutes, so that the hours of every time zone come out.
pub const BUCKET_SECONDS: i64 = 900;

/// A range of whole seconds, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    from: i64,
    to: i64,
}

/// Why two times are not a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// `from` is later than `to`.
    #[error("from must not be later than to")]
    Reversed,
    /// The window is longer than allowed.
    #[error("the window must be at most {0} seconds long")]
    TooLong(i64),
}

impl Window {
    /// A window of whole seconds.
    ///
    /// # Errors
    /// [`WindowError`] when reversed or longer than `max_seconds`.
    pub fn new(from: Timestamp, to: Timestamp, max_seconds: i64) -> Result<Self, WindowError> {
        let (from, to) = (from.unix_seconds(), to.unix_seconds());
        if from > to {
            return Err(WindowError::Reversed);
        }
        if to - from >= max_seconds {
            return Err(WindowError::TooLong(max_seconds));
        }
        Ok(Self { from, to })
    }

    /// The last `seconds` up to and including `now`'s second.
    pub fn last(seconds: i64, now: Timestamp) -> Self {
        let to = now.unix_seconds();
        Self { from: (to - seconds + 1).max(0), to }
    }

    /// First second.
    pub fn from_seconds(self) -> i64 {
        self.from
    }

    /// Last second.
    pub fn to_seconds(self) -> i64 {
        self.to
    }

    /// First instant of the window.
    ///
    /// # Errors
    /// Never for a window made by this type's constructors; the range check of [`Timestamp`] shows through.
    pub fn start(self) -> Result<Timestamp, TimeError> {
        Timestamp::from_unix_seconds(self.from)
    }

    /// First instant after the window: its last second counts whole.
    pub fn end_exclusive_micros(self) -> i64 {
        (self.to + 1) * SECOND
    }

    /// The whole buckets inside the window, as bucket starts `[first, end)` in Unix seconds, or `None` when no bucket fits.
    /// What lies outside them at both edges has to be read from the events themselves.
    pub fn whole_buckets(self) -> Option<(i64, i64)> {
        let first = (self.from + BUCKET_SECONDS - 1).div_euclid(BUCKET_SECONDS) * BUCKET_SECONDS;
        let end = (self.to + 1).div_euclid(BUCKET_SECONDS) * BUCKET_SECONDS;
        (first < end).then_some((first, end))
    }

    /// The same window widened to whole buckets.
    #[must_use]
    pub fn widened(self) -> Self {
        let (first, end) = self.touched_buckets();
        Self { from: first, to: end - 1 }
    }

    /// Every bucket that shares a second with the window, as bucket starts `[first, end)` in Unix seconds.
    pub fn touched_buckets(self) -> (i64, i64) {
        let first = self.from.div_euclid(BUCKET_SECONDS) * BUCKET_SECONDS;
        (first, (self.to.div_euclid(BUCKET_SECONDS) + 1) * BUCKET_SECONDS)
    }
}

/// Start of the bucket that holds `time`, in Unix seconds.
pub fn bucket_of(time: Timestamp) -> i64 {
    time.unix_seconds().div_euclid(BUCKET_SECONDS) * BUCKET_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).expect("in range")
    }

    #[test]
    fn both_ends_are_inclusive() {
        let window = Window::new(at(10), at(10), 1).expect("one second");
        assert_eq!(window.end_exclusive_micros() - window.start().expect("start").micros(), SECOND);
        assert_eq!(Window::new(at(11), at(10), 100), Err(WindowError::Reversed));
        assert_eq!(Window::new(at(0), at(100), 100), Err(WindowError::TooLong(100)));
        assert!(Window::new(at(0), at(99), 100).is_ok());
    }

    #[test]
    fn whole_buckets_leave_only_the_edges() {
        assert_eq!(Window::new(at(0), at(899), 10_000).expect("w").whole_buckets(), Some((0, 900)));
        assert_eq!(Window::new(at(1), at(1799), 10_000).expect("w").whole_buckets(), Some((900, 1800)));
        assert_eq!(Window::new(at(1), at(1798), 10_000).expect("w").whole_buckets(), None);
        assert_eq!(bucket_of(at(1799)), 900);
        assert_eq!(Window::new(at(899), at(900), 10_000).expect("w").touched_buckets(), (0, 1_800));
    }
}
