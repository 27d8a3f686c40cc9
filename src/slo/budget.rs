//! Error budget arithmetic. Invariant: pure and exact: counts go in, shares come out; nothing served means nothing spent.

/// Good and bad ones of a period; the caller's own mistakes are in neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Kept the promise.
    pub good: u64,
    /// Did not.
    pub bad: u64,
}

impl Tally {
    /// All that count.
    pub fn total(self) -> u64 {
        self.good + self.bad
    }

    /// Share of bad ones in 0..1; 0 when there was nothing.
    pub fn bad_share(self) -> f64 {
        if self.total() == 0 { 0.0 } else { self.bad as f64 / self.total() as f64 }
    }

    /// Percent of good ones; `None` when there was nothing.
    pub fn good_percent(self) -> Option<f64> {
        (self.total() > 0).then(|| 100.0 * self.good as f64 / self.total() as f64)
    }

    /// How many times faster than evenly the budget is spent.
    pub fn burn_rate(self, allowed: f64) -> f64 {
        self.bad_share() / allowed
    }
}

/// Where a budget stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Percent of the budget that is left; below zero when overspent.
    pub left_percent: f64,
    /// Of the whole period.
    pub burn_rate: f64,
    /// Seconds until nothing is left at the recent pace; `None` when that pace spends nothing or all is spent.
    pub exhausted_in_seconds: Option<i64>,
    /// What to do.
    pub band: Band,
}

impl Budget {
    /// The budget of a period of `period_seconds`, whose latest stretch tells the pace.
    pub fn of(period: Tally, recent: Tally, allowed: f64, period_seconds: i64) -> Self {
        let (burn_rate, pace) = (period.burn_rate(allowed), recent.burn_rate(allowed));
        let left = 1.0 - burn_rate;
        let exhausted_in_seconds =
            (left > 0.0 && pace > 0.0).then(|| (left * period_seconds as f64 / pace).round() as i64);
        Self { left_percent: 100.0 * left, burn_rate, exhausted_in_seconds, band: Band::of(pace) }
    }

    /// Percent of the budget that is used.
    pub fn used_percent(&self) -> f64 {
        100.0 - self.left_percent
    }
}

/// How fast a budget burns, and what to do about it (requirements point 95).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// Below 1: the promise will be kept.
    Calm,
    /// 1 to 2.
    Watch,
    /// 2 to 5.
    Act,
    /// Above 5.
    Stop,
}

impl Band {
    /// The band of a burn rate; a bound belongs to the calmer band.
    pub fn of(burn_rate: f64) -> Self {
        match burn_rate {
            rate if rate < 1.0 => Self::Calm,
            rate if rate <= 2.0 => Self::Watch,
            rate if rate <= 5.0 => Self::Act,
            _ => Self::Stop,
        }
    }

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Watch => "watch",
            Self::Act => "act",
            Self::Stop => "stop",
        }
    }

    /// What to do.
    pub fn action(self) -> &'static str {
        match self {
            Self::Calm => "Nothing: at this pace the promise is kept.",
            Self::Watch => {
                "Look for the cause within the week; at this pace the budget ends with its period or sooner."
            }
            Self::Act => "Look for the cause today; risky changes wait.",
            Self::Stop => "Work on nothing else until it is mended; no changes but that.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTH: i64 = 30 * 86_400;

    fn tally(good: u64, bad: u64) -> Tally {
        Tally { good, bad }
    }

    #[test]
    fn three_nines_of_thirty_days_are_43_minutes_and_12_seconds() {
        assert_eq!((0.001_f64 * MONTH as f64).round() as i64, 43 * 60 + 12);
    }

    #[test]
    fn a_quarter_of_the_budget_is_a_quarter() {
        let spent = tally(999_750, 250);
        let budget = Budget::of(spent, spent, 0.001, MONTH);
        assert!((budget.left_percent - 75.0).abs() < 1e-9 && (budget.used_percent() - 25.0).abs() < 1e-9);
        assert!((budget.burn_rate - 0.25).abs() < 1e-12);
        assert_eq!(budget.exhausted_in_seconds, Some(3 * MONTH));
        assert_eq!(budget.band, Band::Calm);
        assert_eq!(spent.good_percent(), Some(99.975));
    }

    #[test]
    fn the_recent_pace_tells_when_it_ends() {
        let budget = Budget::of(tally(999_500, 500), tally(9_900, 100), 0.001, MONTH);
        assert_eq!(budget.exhausted_in_seconds, Some(MONTH / 20), "half is left and burns ten times too fast");
        assert_eq!(budget.band, Band::Stop);
    }

    #[test]
    fn an_overspent_budget_is_below_zero_and_ends_nowhere() {
        let budget = Budget::of(tally(997_000, 3_000), tally(1, 0), 0.001, MONTH);
        assert!((budget.left_percent + 200.0).abs() < 1e-9);
        assert_eq!(budget.exhausted_in_seconds, None);
    }

    #[test]
    fn nothing_served_is_nothing_spent() {
        let budget = Budget::of(Tally::default(), Tally::default(), 0.001, MONTH);
        assert_eq!(budget.left_percent, 100.0);
        assert_eq!((budget.exhausted_in_seconds, Tally::default().good_percent()), (None, None));
    }

    #[test]
    fn bands_are_those_of_the_order() {
        let bands = [0.0, 0.99, 1.0, 2.0, 2.01, 5.0, 5.01].map(|rate| Band::of(rate).name());
        assert_eq!(bands, ["calm", "calm", "watch", "watch", "act", "act", "stop"]);
    }
}
