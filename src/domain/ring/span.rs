//! Where one window's buckets begin and end. Invariant: a bucket leaves the window only once every instant in it is older than
//! the window, so a sum over the ring never misses a charge.

use crate::domain::time::{SECOND, Timestamp};

/// The window of a rule, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// The last `buckets` × `width`, edges moved by `offset` so that accounts do not all clear at the same instant.
    Sliding {
        /// Whole buckets in the window; one more is counted, because the oldest overlaps it in part.
        buckets: i64,
        /// Length of a bucket.
        width: i64,
        /// Less than `width`.
        offset: i64,
    },
    /// A calendar period and the one after it: the caller's clock names them, the window's clock chooses.
    Calendar {
        /// Number of the first period.
        index: i64,
        /// Where it begins.
        start: i64,
        /// Where it ends and the next begins.
        end: i64,
        /// Where the next ends.
        next_end: i64,
    },
}

impl Span {
    /// Bucket of an instant.
    pub(super) fn bucket(&self, at: i64) -> i64 {
        match *self {
            Self::Sliding { width, offset, .. } => (at + offset).div_euclid(width),
            Self::Calendar { index, start, end, .. } => index + i64::from(at >= end) - i64::from(at < start),
        }
    }

    /// How many buckets before the current one still count.
    pub(super) fn depth(&self) -> i64 {
        match *self {
            Self::Sliding { buckets, .. } => buckets,
            Self::Calendar { .. } => 0,
        }
    }

    /// First instant at which the bucket no longer counts.
    pub(super) fn leaves(&self, bucket: i64) -> i64 {
        match *self {
            Self::Sliding { buckets, width, offset } => (bucket + buckets + 1) * width - offset,
            Self::Calendar { index, end, next_end, .. } => {
                if bucket <= index {
                    end
                } else {
                    next_end
                }
            }
        }
    }
}

/// A number of an account that every instance computes alike (FNV-1a), for spreading window edges.
pub fn account_offset(account: &str) -> i64 {
    let hash = account
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    i64::try_from(hash >> 1).unwrap_or(0)
}

/// The calendar month (UTC) of `now` and the one after it.
pub fn month_span(now: Timestamp) -> Span {
    let days = now.unix_seconds().div_euclid(86_400);
    let months = month_of_day(days);
    let start_of = |month: i64| first_day(month) * 86_400 * SECOND;
    Span::Calendar { index: months, start: start_of(months), end: start_of(months + 1), next_end: start_of(months + 2) }
}

/// Months since January 1970 of a day since 1970-01-01 (Howard Hinnant's civil calendar, years from March).
fn month_of_day(days: i64) -> i64 {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day = shifted.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    (year + era * 400) * 12 + month_from_march + 2 - 1970 * 12
}

/// First day, since 1970-01-01, of a month since January 1970.
fn first_day(month: i64) -> i64 {
    let from_march = month + 1970 * 12 - 2;
    let (year, month) = (from_march.div_euclid(12), from_march.rem_euclid(12));
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_leaves_once_all_of_it_is_older_than_the_window() {
        let span = Span::Sliding { buckets: 10, width: 100, offset: 37 };
        for at in 0..500 {
            let leaves = span.leaves(span.bucket(at));
            assert!((at + 1_001..=at + 1_100).contains(&leaves), "{at} {leaves}");
            assert!(span.bucket(leaves - 1) - span.depth() <= span.bucket(at));
            assert!(span.bucket(leaves) - span.depth() > span.bucket(at));
        }
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let mut at = Timestamp::from_unix_seconds(0).expect("in range").to_chrono();
        let mut index = 0;
        while at.timestamp() < 4_102_444_800 {
            let next = at.checked_add_months(chrono::Months::new(1)).expect("in range");
            for inside in [at.timestamp(), next.timestamp() - 1] {
                let Span::Calendar { index: found, start, end, .. } =
                    month_span(Timestamp::from_unix_seconds(inside).expect("in range"))
                else {
                    panic!("a month is a calendar span");
                };
                assert_eq!((found, start, end), (index, at.timestamp_micros(), next.timestamp_micros()));
            }
            (at, index) = (next, index + 1);
        }
    }
}
