//! What an account may send in a calendar month, and when that is used up. Invariant: pure; a pace that lasts to the end of the
//! month names no time.

use serde::Serialize;

use super::judge::rounded;
use super::words::{count, spoken, time};
use crate::domain::time::Timestamp;
use crate::slo::period::Cadence;

const DAY: f64 = 86_400.0;

/// Use of the running month, as the limits know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonthUse {
    /// Events the account may send in the month.
    pub limit: u64,
    /// Events of the month so far.
    pub used: u64,
}

/// What tells the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recent {
    /// Events of the account that were stored.
    pub events: u64,
    /// In how many seconds before the report.
    pub seconds: u64,
}

/// The month's quota as a report tells it: about the time the report was made, whatever its period.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonthLine {
    /// Events the account may send in the month.
    pub limit: u64,
    /// Events of the month so far.
    pub used: u64,
    /// The same as a share of the limit.
    pub used_percent: f64,
    /// Events a day at the pace of the last day.
    pub per_day: u64,
    /// When the month ends and all may be used again.
    pub resets_at: String,
    /// When nothing is left at this pace, where that is before the month's end; the time of the report when nothing is left now.
    pub reached_at: Option<String>,
    /// The same in a sentence.
    pub forecast: String,
}

impl MonthLine {
    /// Goes on from `now` at the pace of what is recent.
    pub fn of(month: MonthUse, recent: Recent, now: Timestamp) -> Self {
        let MonthUse { limit, used } = month;
        let (second, resets) = (now.unix_seconds(), Cadence::Monthly.ends(now));
        let pace = recent.events as f64 / recent.seconds.max(1) as f64;
        let left = limit.saturating_sub(used);
        // A pace of nothing never gets there: infinitely many seconds.
        let seconds = if left == 0 { 0.0 } else { (left as f64 / pace).ceil() };
        let reached = (seconds < (resets - second) as f64).then(|| second + seconds as i64);
        let forecast = match reached {
            Some(_) if left == 0 => {
                let lifted = spoken(&time(resets));
                format!("The cap of {} events is reached. It begins anew on {lifted}.", count(limit))
            }
            Some(at) => format!("At this pace the cap is reached on {}.", spoken(&time(at))),
            None => "At this pace the cap is not reached before the month ends.".to_owned(),
        };
        Self {
            limit,
            used,
            used_percent: if limit == 0 { 100.0 } else { rounded(100.0 * used as f64 / limit as f64) },
            per_day: (pace * DAY).round() as u64,
            resets_at: time(resets),
            reached_at: reached.map(time),
            forecast,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(limit: u64, used: u64, events: u64) -> MonthLine {
        // Sunday 22 November 2026, 14:00 UTC.
        let now = Timestamp::from_unix_seconds(1_795_356_000).expect("time");
        MonthLine::of(MonthUse { limit, used }, Recent { events, seconds: 43_200 }, now)
    }

    #[test]
    fn the_cap_is_reached_on_thursday_at_two() {
        // 100,000 in half a day, 800,000 are left: four days.
        let line = line(2_000_000, 1_200_000, 100_000);
        assert_eq!(line.forecast, "At this pace the cap is reached on Thursday 26 November 2026, 14:00 UTC.");
        assert_eq!(line.reached_at.as_deref(), Some("2026-11-26T14:00:00Z"));
        assert_eq!((line.used_percent, line.per_day), (60.0, 200_000));
        assert_eq!(line.resets_at, "2026-12-01T00:00:00Z");
    }

    #[test]
    fn a_pace_that_lasts_names_no_time() {
        for (used, events) in [(0, 0), (1_200_000, 10_000), (1_999_999, 0)] {
            let line = line(2_000_000, used, events);
            assert_eq!(line.reached_at, None, "{used} and {events}");
            assert_eq!(line.forecast, "At this pace the cap is not reached before the month ends.");
        }
    }

    #[test]
    fn what_is_used_up_begins_anew_with_the_month() {
        for (limit, used) in [(2_000_000, 2_000_000), (2_000_000, 2_300_000), (0, 0)] {
            let line = line(limit, used, 10);
            assert_eq!(line.reached_at.as_deref(), Some("2026-11-22T14:00:00Z"));
            assert!(
                line.forecast.ends_with("is reached. It begins anew on Tuesday 1 December 2026, 00:00 UTC."),
                "{}",
                line.forecast
            );
        }
    }
}
