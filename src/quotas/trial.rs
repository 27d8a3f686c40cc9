//! A quota tried on what an account sent before. Invariant: it is decided by the limiter's own rules and arithmetic
//! ([`domain::ring`](crate::domain::ring)), with one instance and no leases; what is not known of the past is assumed evenly spread, and said.
//!
//! Known are a minute's sums and its busiest second. The other events are spread evenly over the other 59 seconds, a second's events
//! over ten tenths, which is what the burst window can tell apart; bytes go along with their events.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::id::AccountId;
use crate::domain::outcome::Policy;
use crate::domain::quota::Quota;
use crate::domain::ring::{Ask, Dated, Hold, Rule, State, Unit};
use crate::domain::time::{SECOND, Timestamp};
use crate::domain::usage::Minute;
use crate::limit;

/// Parts of a second.
const PARTS: i64 = 10;

/// Most minutes with refusals that are told one by one.
const TOLD: usize = 500;

/// What a policy would have refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Events.
    pub events: i64,
    /// First minute with a refusal, in Unix seconds.
    pub first: i64,
    /// The last one.
    pub last: i64,
    /// How many minutes had one.
    pub minutes: i64,
}

/// What would have become of the account's events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trial {
    /// Events offered.
    pub offered: i64,
    /// Those that would have been refused, each by the policy that clears last.
    pub refused: i64,
    /// Those that were refused at the time.
    pub refused_then: i64,
    /// By policy.
    pub by_policy: BTreeMap<Policy, Refused>,
    /// Minutes with refusals, the first [`TOLD`]: Unix seconds, policy and events.
    pub minutes: Vec<(i64, Policy, i64)>,
}

/// Replays `minutes`, the oldest first. `month` is what was accepted in the month of the first one before it.
pub fn replay(account: &AccountId, quota: Quota, minutes: &[Minute], month: i64) -> Trial {
    let mut trial = Trial::default();
    let Some(first) = minutes.first() else { return trial };
    let begin = Timestamp::from_unix_seconds(first.at).unwrap_or(Timestamp::EPOCH);
    let mut bench = Bench { rules: limit::rules(account, quota, begin), state: State::default() };
    if let Some(rule) = bench.rules.iter().find(|rule| rule.policy == Policy::Monthly) {
        bench.state.charge(rule, begin.micros(), Dated { age: 0, amount: month });
    }
    for minute in minutes {
        trial.offered += minute.sums.offered;
        trial.refused_then += minute.sums.refused;
        for (policy, events) in bench.minute(minute) {
            trial.refused += events;
            let new = Refused { events: 0, first: minute.at, last: minute.at, minutes: 0 };
            let refused = trial.by_policy.entry(policy).or_insert(new);
            *refused =
                Refused { events: refused.events + events, last: minute.at, minutes: refused.minutes + 1, ..*refused };
            if trial.minutes.len() < TOLD {
                trial.minutes.push((minute.at, policy, events));
            }
        }
    }
    trial
}

struct Bench {
    rules: Arc<[Rule]>,
    state: State,
}

impl Bench {
    /// What is refused of a minute's events, by policy.
    fn minute(&mut self, minute: &Minute) -> BTreeMap<Policy, i64> {
        let mut refused = BTreeMap::new();
        let sums = minute.sums;
        let rest = (sums.offered - minute.peak_events).max(0);
        let parts = self.parts(minute);
        let (mut offered, mut bytes) = (0, 0);
        for second in 0..60 {
            // The n-th of the other 59 seconds.
            let other = i64::from(second) - i64::from(second > minute.peak_second);
            let busiest = second == minute.peak_second;
            let events = if busiest { minute.peak_events } else { part(rest, other, 59) };
            offered += events;
            let brought = if sums.offered > 0 {
                share(sums.bytes, offered, sums.offered)
            } else {
                share(sums.bytes, 1 + i64::from(second), 60)
            };
            self.second((minute.at + i64::from(second)) * SECOND, [events, brought - bytes], parts, &mut refused);
            bytes = brought;
        }
        refused.retain(|_, events| *events > 0);
        refused
    }

    /// Where two of the busiest seconds fit the burst, it cannot refuse, and the parts of a second need not be told apart.
    fn parts(&self, minute: &Minute) -> i64 {
        let burst = self.rules.iter().find(|rule| rule.policy == Policy::Burst && rule.enforced);
        if burst.is_none_or(|rule| 2 * minute.peak_events <= rule.limit) { 1 } else { PARTS }
    }

    fn second(&mut self, at: i64, used: [i64; 2], parts: i64, refused: &mut BTreeMap<Policy, i64>) {
        for index in 0..parts {
            let need = used.map(|units| part(units, index, parts));
            if need == [0, 0] {
                continue;
            }
            // As the limiter does: a limit of 0 refuses without asking.
            let blocks = |rule: &&Rule| rule.enforced && rule.limit == 0 && need[rule.unit.index()] > 0;
            if let Some(rule) = self.rules.iter().find(blocks) {
                *refused.entry(rule.policy).or_default() += need[0];
                continue;
            }
            let answer = self.state.apply(&self.ask(need), at + index * SECOND / parts);
            if let Some(rule) = answer.denial.and_then(|denial| self.rules.get(denial.rule)) {
                *refused.entry(rule.policy).or_default() += need[0] - answer.granted[0];
            }
        }
    }

    fn ask(&self, need: [i64; 2]) -> Ask {
        // What no policy counts is granted as it is.
        let counted = |unit: Unit| self.rules.iter().any(|rule| rule.unit == unit);
        let need = Unit::ALL.map(|unit| if counted(unit) { need[unit.index()] } else { 0 });
        Ask {
            instance: Arc::from(""),
            number: 0,
            unheard: 0,
            sharers: 1,
            hold_ttl: SECOND,
            rules: Arc::clone(&self.rules),
            holds: [Hold::default(); 2],
            spent: [Vec::new(), Vec::new()],
            refunds: Vec::new(),
            need,
        }
    }
}

/// `whole` × `of` ÷ `parts`, rounded down.
fn share(whole: i64, of: i64, parts: i64) -> i64 {
    i64::try_from(i128::from(whole) * i128::from(of) / i128::from(parts)).unwrap_or(i64::MAX)
}

/// The part with that index (from 0) of `whole` in `parts` parts that sum up to it.
fn part(whole: i64, index: i64, parts: i64) -> i64 {
    share(whole, index + 1, parts) - share(whole, index, parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quota::{Limit, Mode};
    use crate::domain::usage::Use;

    const QUOTA: Quota = Quota {
        sustained: Limit { limit: 60_000, mode: Mode::Enforce },
        burst: Limit { limit: 4_000, mode: Mode::Enforce },
        bytes: Limit { limit: 50 << 20, mode: Mode::Enforce },
        concurrent: Limit { limit: 64, mode: Mode::Enforce },
        monthly: None,
        bank_minutes: 0,
        weight: 1,
    };

    /// From a time at which no month ends soon.
    fn minute(index: i64, offered: i64, peak_events: i64) -> Minute {
        let sums = Use { offered, accepted: offered, refused: 0, bytes: 100 * offered };
        Minute { at: 1_700_000_040 + 60 * index, sums, peak_events, peak_second: 17 }
    }

    fn tried(quota: Quota, minutes: &[Minute], month: i64) -> Vec<(Policy, i64)> {
        let trial = replay(&AccountId::new("a").expect("id"), quota, minutes, month);
        assert_eq!(trial.refused, trial.by_policy.values().map(|refused| refused.events).sum::<i64>());
        trial.by_policy.into_iter().map(|(policy, refused)| (policy, refused.events)).collect()
    }

    #[test]
    fn each_policy_refuses_what_is_over_it() {
        let sustained = Quota { sustained: Limit::enforced(100), ..QUOTA };
        // Ten quiet minutes, then one of 250: what is over 100 goes.
        let mut minutes: Vec<_> = (0..10).map(|index| minute(index, 50, 1)).collect();
        minutes.push(minute(20, 250, 10));
        assert_eq!(tried(sustained, &minutes, 0), [(Policy::Sustained, 150)]);
        assert_eq!(tried(QUOTA, &minutes, 0), []);
        let burst = Quota { burst: Limit::enforced(6), ..QUOTA };
        assert_eq!(tried(burst, &[minute(0, 10, 10)], 0), [(Policy::Burst, 4)]);
        let bytes = Quota { bytes: Limit::enforced(1_000), ..QUOTA };
        assert_eq!(tried(bytes, &[minute(0, 60, 1)], 0), [(Policy::Bytes, 50)]);
        let month = Quota { monthly: Some(Limit::enforced(70)), ..QUOTA };
        assert_eq!(tried(month, &[minute(0, 50, 1), minute(1, 50, 1)], 0), [(Policy::Monthly, 30)]);
        assert_eq!(tried(month, &[minute(0, 50, 1)], 60), [(Policy::Monthly, 40)]);
        let blocked = Quota { sustained: Limit::enforced(0), ..QUOTA };
        assert_eq!(tried(blocked, &[minute(0, 50, 1)], 0), [(Policy::Sustained, 50)]);
        let blocked = Quota { burst: Limit::enforced(0), ..QUOTA };
        assert_eq!(tried(blocked, &[minute(0, 50, 1)], 0), [(Policy::Burst, 50)]);
    }

    #[test]
    fn shadow_refuses_nothing_and_a_bank_lets_more_through() {
        let shadow = Quota { sustained: Limit { limit: 1, mode: Mode::Shadow }, ..QUOTA };
        assert_eq!(tried(shadow, &[minute(0, 50, 1)], 0), []);
        let (plain, minutes) =
            (Quota { sustained: Limit::enforced(60), ..QUOTA }, [minute(0, 1, 1), minute(10, 150, 10)]);
        assert_eq!(tried(plain, &minutes, 0), [(Policy::Sustained, 90)]);
        assert_eq!(tried(Quota { bank_minutes: 1, ..plain }, &minutes, 0), [(Policy::Sustained, 30)]);
    }

    #[test]
    fn what_fits_evenly_is_not_refused_by_the_estimate_of_the_burst() {
        // 100 a second against a burst of 150: no second is over it, and neighbours do not add up.
        let burst = Quota { burst: Limit::enforced(150), sustained: Limit::enforced(100_000), ..QUOTA };
        let minutes: Vec<_> = (0..3).map(|index| minute(index, 6_000, 100)).collect();
        assert_eq!(tried(burst, &minutes, 0), []);
        assert_eq!(replay(&AccountId::new("a").expect("id"), QUOTA, &[], 0), Trial::default());
    }
}
