//! The stretch of time a report is about. Invariant: weeks begin on Monday and months on the first, at midnight UTC; a period that
//! still runs ends with the last whole minute.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};

use crate::domain::time::Timestamp;

/// How long the periods of a report are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// Monday to Sunday.
    Weekly,
    /// A calendar month.
    Monthly,
}

/// One period, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its kind.
    pub cadence: Cadence,
    /// First second.
    pub from: i64,
    /// First second behind it.
    pub to: i64,
    /// Whether it still runs.
    pub running: bool,
}

impl Cadence {
    /// Its word in questions and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    /// First second, in Unix seconds, behind the period that holds `at`.
    pub fn ends(self, at: Timestamp) -> i64 {
        seconds(self.step(self.first_day(at.to_chrono().date_naive()), true))
    }

    fn first_day(self, day: NaiveDate) -> NaiveDate {
        let back = match self {
            Self::Weekly => day.weekday().num_days_from_monday(),
            Self::Monthly => day.day0(),
        };
        day.checked_sub_days(Days::new(u64::from(back))).unwrap_or(day)
    }

    fn step(self, first: NaiveDate, forward: bool) -> NaiveDate {
        let moved = match (self, forward) {
            (Self::Weekly, true) => first.checked_add_days(Days::new(7)),
            (Self::Weekly, false) => first.checked_sub_days(Days::new(7)),
            (Self::Monthly, true) => first.checked_add_months(Months::new(1)),
            (Self::Monthly, false) => first.checked_sub_months(Months::new(1)),
        };
        moved.unwrap_or(first)
    }
}

impl Period {
    /// The period that holds `at`, or without it the last one that is over at `now`.
    pub fn of(cadence: Cadence, at: Option<Timestamp>, now: Timestamp) -> Self {
        let today = cadence.first_day(now.to_chrono().date_naive());
        let first = match at {
            Some(at) => cadence.first_day(at.to_chrono().date_naive()),
            None => cadence.step(today, false),
        };
        let (from, to) = (seconds(first), seconds(cadence.step(first, true)));
        let running = to > now.unix_seconds();
        let to = if running { (now.unix_seconds() / 60 * 60).max(from) } else { to };
        Self { cadence, from, to, running }
    }

    /// The `count` periods before, the oldest first.
    pub fn before(&self, count: usize) -> Vec<Self> {
        let mut first = day(self.from);
        let mut found: Vec<_> = (0..count)
            .map(|_| {
                let to = seconds(first);
                first = self.cadence.step(first, false);
                Self { cadence: self.cadence, from: seconds(first), to, running: false }
            })
            .collect();
        found.reverse();
        found
    }

    /// What people call it: `16 to 22 November 2026`, `November 2026`.
    pub fn words(&self) -> String {
        let first = day(self.from);
        match self.cadence {
            Cadence::Monthly => first.format("%B %Y").to_string(),
            Cadence::Weekly => {
                let last = first.checked_add_days(Days::new(6)).unwrap_or(first);
                let head = match (first.year() == last.year(), first.month() == last.month()) {
                    (true, true) => first.format("%-d"),
                    (true, false) => first.format("%-d %B"),
                    _ => first.format("%-d %B %Y"),
                };
                format!("{head} to {}", last.format("%-d %B %Y"))
            }
        }
    }
}

/// The day of a time.
pub fn day(second: i64) -> NaiveDate {
    DateTime::<Utc>::from_timestamp(second, 0).unwrap_or_default().date_naive()
}

fn seconds(day: NaiveDate) -> i64 {
    day.and_time(NaiveTime::MIN).and_utc().timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("time")
    }

    #[test]
    fn the_last_whole_week_and_month() {
        let now = at("2026-11-22T09:30:00Z");
        let week = Period::of(Cadence::Weekly, None, now);
        assert_eq!(
            (week.from, week.to),
            (at("2026-11-09T00:00:00Z").unix_seconds(), at("2026-11-16T00:00:00Z").unix_seconds())
        );
        assert_eq!(week.words(), "9 to 15 November 2026");
        let month = Period::of(Cadence::Monthly, None, now);
        assert_eq!((month.words().as_str(), month.running), ("October 2026", false));
        assert_eq!(month.to - month.from, 31 * 86_400);
        let before: Vec<_> = month.before(3).iter().map(Period::words).collect();
        assert_eq!(before, ["July 2026", "August 2026", "September 2026"]);
    }

    #[test]
    fn a_running_period_ends_with_the_last_whole_minute() {
        let now = at("2026-11-22T09:30:59Z");
        let week = Period::of(Cadence::Weekly, Some(now), now);
        assert_eq!((week.to, week.running), (at("2026-11-22T09:30:00Z").unix_seconds(), true));
        assert_eq!(week.words(), "16 to 22 November 2026");
        let turn = Period::of(Cadence::Weekly, Some(at("2026-01-01T00:00:00Z")), now);
        assert_eq!(turn.words(), "29 December 2025 to 4 January 2026");
    }
}
