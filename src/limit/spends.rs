//! What was spent from a lease, or has to be given back, and was not yet heard to be known. Invariant: an entry is dated no earlier
//! than its spend, at most a tick later while it matters to a window, and no amount is ever lost by making the list shorter.

use crate::domain::ring::{Dated, Told};
use crate::domain::time::SECOND;

/// Spends younger than this keep their tick: the finest window is a second and a bucket.
const FINE: i64 = SECOND + SECOND / 5;

/// Spends older than this matter to months only.
const COARSE: i64 = 62 * SECOND;

/// More entries than the fine ones and the seconds between two tellings: each costs Redis some µs in every policy.
const SHORT: usize = 16;

/// More than this, and what was told and what was not are joined too: it may then count twice, early and never over.
const LONG: usize = 128;

/// Amounts by the local time of the sample that found them, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Spends(Vec<Spend>);

#[derive(Debug, Clone, Copy)]
pub(super) struct Spend {
    pub(super) at: i64,
    pub(super) amount: i64,
    /// Number of the question that told it first; `None` before that.
    pub(super) first: Option<i64>,
}

impl Spend {
    pub(super) fn new(at: i64, amount: i64) -> Self {
        Self { at, amount, first: None }
    }

    /// As a question of that number tells it.
    pub(super) fn told(&mut self, number: i64, now: i64) -> Told {
        let first = *self.first.get_or_insert(number);
        Told { dated: Dated { age: (now - self.at).max(0), amount: self.amount }, first }
    }
}

impl Spends {
    pub(super) fn add(&mut self, at: i64, amount: i64) {
        if amount <= 0 {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.at == at && last.first.is_none() => last.amount += amount,
            _ => self.0.push(Spend::new(at, amount)),
        }
        self.shorten(at);
    }

    /// Joins old entries into the later of them: each second into one, and all that left the minute into one.
    fn shorten(&mut self, now: i64) {
        if self.0.len() <= SHORT {
            return;
        }
        let many = self.0.len() > LONG;
        let mut short: Vec<Spend> = Vec::with_capacity(self.0.len());
        for &spend in &self.0 {
            let at = spend.at;
            match short.last_mut() {
                Some(last)
                    if (many || last.first == spend.first)
                        && (at < now - COARSE || (at < now - FINE && at - first_of_second(last.at) < SECOND)) =>
                {
                    *last = Spend { amount: last.amount + spend.amount, ..spend };
                }
                _ => short.push(spend),
            }
        }
        self.0 = short;
    }

    pub(super) fn append(&mut self, later: &mut Self) {
        self.0.append(&mut later.0);
        if let Some(last) = self.0.last() {
            self.shorten(last.at);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a question of that number tells them.
    pub(super) fn told(&mut self, number: i64, now: i64) -> impl Iterator<Item = Told> + '_ {
        self.0.iter_mut().map(move |spend| spend.told(number, now))
    }

    /// As they are, to one who has not been told of any.
    pub(super) fn untold(&self, now: i64) -> impl Iterator<Item = Told> + '_ {
        self.0.iter().map(move |spend| Spend { first: None, ..*spend }.told(0, now))
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
        assert!(spends.untold(5 * SECOND).count() <= 18, "{}", spends.untold(5 * SECOND).count());
    }

    #[test]
    fn a_long_silence_of_the_window_is_kept_short_and_whole() {
        let mut spends = Spends::default();
        for tick in 0..6_000 {
            spends.add(tick * SECOND / 10, 3);
        }
        let now = 6_000 * SECOND / 10;
        let dated: Vec<_> = spends.untold(now).map(|told| told.dated).collect();
        assert!(dated.len() < 130, "{}", dated.len());
        assert_eq!(dated.iter().map(|dated| dated.amount).sum::<i64>(), 18_000);
        let within = |age: i64| dated.iter().filter(|dated| dated.age <= age).map(|dated| dated.amount).sum::<i64>();
        assert_eq!(within(SECOND), 30);
        assert!((1_800..=1_860).contains(&within(60 * SECOND)), "{}", within(60 * SECOND));
    }
}
