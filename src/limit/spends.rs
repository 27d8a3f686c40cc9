//! What was spent from a lease and not yet told. Invariant: a spend is dated no earlier than it was, at most a tick later while
//! it matters to a window, and no amount is ever lost by making the list shorter.

use crate::domain::ring::Dated;
use crate::domain::time::SECOND;

/// Spends younger than this keep their tick: the finest window is a second and a bucket.
const FINE: i64 = SECOND + SECOND / 5;

/// Spends older than this matter to months only.
const COARSE: i64 = 62 * SECOND;

/// More entries than the fine ones and the seconds between two tellings: each costs Redis some µs in every policy.
const SHORT: usize = 16;

/// Amounts by the local time of the sample that found them, oldest first; about 90 entries at most.
#[derive(Debug, Clone, Default)]
pub(super) struct Spends(Vec<(i64, i64)>);

impl Spends {
    pub(super) fn add(&mut self, at: i64, amount: i64) {
        if amount <= 0 {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.0 == at => last.1 += amount,
            _ => self.0.push((at, amount)),
        }
        if self.0.len() > SHORT {
            self.shorten(at);
        }
    }

    /// Joins old entries into the later of them: each second into one, and all that left the minute into one.
    fn shorten(&mut self, now: i64) {
        let mut short: Vec<(i64, i64)> = Vec::with_capacity(self.0.len());
        for &(at, amount) in &self.0 {
            match short.last_mut() {
                Some(last) if at < now - COARSE || (at < now - FINE && at - first_of_second(last.0) < SECOND) => {
                    *last = (at, last.1 + amount);
                }
                _ => short.push((at, amount)),
            }
        }
        self.0 = short;
    }

    pub(super) fn append(&mut self, later: &mut Self) {
        for (at, amount) in later.0.drain(..) {
            self.add(at, amount);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same with ages at `now`.
    pub(super) fn dated(&self, now: i64) -> impl Iterator<Item = Dated> + '_ {
        self.0.iter().map(move |&(at, amount)| Dated { age: (now - at).max(0), amount })
    }
}

fn first_of_second(at: i64) -> i64 {
    at - at.rem_euclid(SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_every_five_seconds_is_a_short_list() {
        let mut spends = Spends::default();
        for tick in 0..50 {
            spends.add(tick * SECOND / 10, 1);
        }
        assert!(spends.dated(5 * SECOND).count() <= 18, "{}", spends.dated(5 * SECOND).count());
    }

    #[test]
    fn a_long_silence_of_the_window_is_kept_short_and_whole() {
        let mut spends = Spends::default();
        for tick in 0..6_000 {
            spends.add(tick * SECOND / 10, 3);
        }
        let now = 6_000 * SECOND / 10;
        let dated: Vec<_> = spends.dated(now).collect();
        assert!(dated.len() < 130, "{}", dated.len());
        assert_eq!(dated.iter().map(|dated| dated.amount).sum::<i64>(), 18_000);
        let within = |age: i64| dated.iter().filter(|dated| dated.age <= age).map(|dated| dated.amount).sum::<i64>();
        assert_eq!(within(SECOND), 30);
        assert!((1_800..=1_860).contains(&within(60 * SECOND)), "{}", within(60 * SECOND));
    }
}
