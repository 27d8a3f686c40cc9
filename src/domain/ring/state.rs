//! The arithmetic of the window for one account. Invariant: units granted plus units leased never bring an enforced rule above
//! its capacity.

use std::sync::Arc;

use super::{Answer, Ask, Dated, Denial, Rule, Told, Unit, Used};
use crate::domain::outcome::Policy;

/// More than any capacity, and small enough for doubles: the headroom where nothing is enforced.
const UNBOUNDED: i64 = 1 << 50;

/// What is on record for one account.
#[derive(Debug, Clone, Default)]
pub struct State {
    rings: Vec<Ring>,
    holds: Vec<Holder>,
}

/// One instance by its last question.
#[derive(Debug, Clone, Default)]
struct Holder {
    instance: Arc<str>,
    /// Its lease.
    amounts: [i64; 2],
    seen: i64,
    number: i64,
    granted: [i64; 2],
}

/// The buckets of one policy. `bank` is in units × depth, so that a bucket's share of the limit is a whole number.
#[derive(Debug, Clone)]
struct Ring {
    policy: Policy,
    last: i64,
    sum: i64,
    bank: i64,
    slots: Vec<i64>,
}

/// What waiting is reckoned with.
#[derive(Clone, Copy)]
struct Clock {
    now: i64,
    hold_ttl: i64,
}

impl State {
    /// Charges, renews and answers. The steps and their order are those of `charge.lua`.
    pub fn apply(&mut self, ask: &Ask, now: i64) -> Answer {
        let last = self.holds.iter().find(|holder| holder.instance == ask.instance).cloned().unwrap_or_default();
        if ask.number > 0 && ask.number <= last.number {
            return self.overtaken(ask, &last, now);
        }
        let lost = self.expire(ask, now);
        let is_new = |told: &&Told| ask.number == 0 || told.first > last.number;
        // Nobody heard of what was granted then: it was decided anew.
        let unheard = if ask.unheard > 0 && last.number >= ask.unheard { last.granted } else { [0; 2] };
        for rule in ask.rules.iter() {
            let (ring, unit) = (self.ring(rule, now), rule.unit.index());
            ring.advance(rule, now);
            ring.take_back(rule, now, Dated { age: now - last.seen, amount: unheard[unit] });
            for told in ask.spent[unit].iter().filter(is_new) {
                ring.add(rule, now, told.dated);
            }
            ring.add(rule, now, Dated { age: 0, amount: lost[unit] });
            if rule.unit == Unit::Events {
                for told in ask.refunds.iter().filter(is_new) {
                    ring.take_back(rule, now, told.dated);
                }
            }
        }
        let held = self.held_by_others(&ask.instance);
        let held = [held[0] + ask.holds[0].keep, held[1] + ask.holds[1].keep];
        let free = Unit::ALL.map(|unit| self.free(&ask.rules, unit, held[unit.index()]));

        let bytes = if free[1] >= ask.need[1] { ask.need[1] } else { 0 };
        let events = if bytes == ask.need[1] { free[0].clamp(0, ask.need[0]) } else { 0 };
        let granted = [events, bytes];
        for rule in ask.rules.iter() {
            self.ring(rule, now).add(rule, now, Dated { age: 0, amount: granted[rule.unit.index()] });
        }
        let lease =
            [0, 1].map(|unit| ((free[unit] - granted[unit]) / (2 * ask.sharers)).min(ask.holds[unit].wish).max(0));
        let held = [held[0] + lease[0], held[1] + lease[1]];
        self.record(ask, (lease, granted), now);
        let denial = self.denial(ask, granted, held, now);
        let used = ask.rules.iter().map(|rule| self.used(rule, held[rule.unit.index()])).collect();
        Answer { now, granted, lease, used, denial }
    }

    /// The answer to a question that a later one has overtaken: nobody waits for it, and it changes nothing.
    fn overtaken(&self, ask: &Ask, last: &Holder, now: i64) -> Answer {
        let mut look = self.clone();
        look.expire(ask, now);
        for rule in ask.rules.iter() {
            look.ring(rule, now).advance(rule, now);
        }
        let others = look.held_by_others(&ask.instance);
        let held = [others[0] + last.amounts[0], others[1] + last.amounts[1]];
        let used = ask.rules.iter().map(|rule| look.used(rule, held[rule.unit.index()])).collect();
        Answer { now, granted: [0; 2], lease: [0; 2], used, denial: None }
    }

    /// Notes use that was decided elsewhere.
    pub fn charge(&mut self, rule: &Rule, now: i64, dated: Dated) {
        let ring = self.ring(rule, now);
        ring.advance(rule, now);
        ring.add(rule, now, dated);
    }

    fn ring(&mut self, rule: &Rule, now: i64) -> &mut Ring {
        let at = self.rings.iter().position(|ring| ring.policy == rule.policy).unwrap_or_else(|| {
            let slots = vec![0; usize::try_from(rule.span.depth() + 1).unwrap_or(1)];
            self.rings.push(Ring { policy: rule.policy, last: rule.span.bucket(now), sum: 0, bank: 0, slots });
            self.rings.len() - 1
        });
        &mut self.rings[at]
    }

    fn find(&self, rule: &Rule) -> Option<&Ring> {
        self.rings.iter().find(|ring| ring.policy == rule.policy)
    }

    /// Leases of instances that have not spoken for too long: they may have been spent, so they count as spent now.
    fn expire(&mut self, ask: &Ask, now: i64) -> [i64; 2] {
        let mut lost = [0; 2];
        self.holds.retain(|holder| {
            let gone = holder.instance != ask.instance && now - holder.seen > ask.hold_ttl;
            if gone {
                lost = [lost[0] + holder.amounts[0], lost[1] + holder.amounts[1]];
            }
            !gone
        });
        lost
    }

    fn held_by_others(&self, instance: &str) -> [i64; 2] {
        let others = self.holds.iter().filter(|holder| &*holder.instance != instance);
        others.fold([0; 2], |sum, holder| [sum[0] + holder.amounts[0], sum[1] + holder.amounts[1]])
    }

    fn free(&self, rules: &[Rule], unit: Unit, held: i64) -> i64 {
        let enforced = rules.iter().filter(|rule| rule.unit == unit && rule.enforced);
        enforced.filter_map(|rule| self.find(rule).map(|ring| ring.free(rule, held))).fold(UNBOUNDED, i64::min)
    }

    fn used(&self, rule: &Rule, held: i64) -> Used {
        self.find(rule).map_or(Used { used: held, capacity: rule.limit }, |ring| Used {
            used: ring.sum + held,
            capacity: ring.capacity(rule),
        })
    }

    /// Kept without a lease too, so that what is told again is known again.
    fn record(&mut self, ask: &Ask, (lease, granted): ([i64; 2], [i64; 2]), now: i64) {
        let amounts = [ask.holds[0].keep + lease[0], ask.holds[1].keep + lease[1]];
        self.holds.retain(|holder| holder.instance != ask.instance);
        self.holds.push(Holder {
            instance: Arc::clone(&ask.instance),
            amounts,
            seen: now,
            number: ask.number,
            granted,
        });
    }

    fn denial(&self, ask: &Ask, granted: [i64; 2], held: [i64; 2], now: i64) -> Option<Denial> {
        if granted == ask.need {
            return None;
        }
        let refused = if granted[1] < ask.need[1] { Unit::Bytes } else { Unit::Events };
        let rest = [ask.need[0] - granted[0], ask.need[1]];
        let clock = Clock { now, hold_ttl: ask.hold_ttl };
        let step = [1, ask.need[1]];
        let mut denial = Denial { rule: 0, wait: -1, earliest: 0 };
        let mut longest = -1;
        for (index, rule) in ask.rules.iter().enumerate().filter(|(_, rule)| rule.enforced) {
            let Some(ring) = self.find(rule) else { continue };
            let unit = rule.unit.index();
            let wait = ring.wait(rule, held[unit], rest[unit].min(rule.limit), clock);
            denial.wait = denial.wait.max(wait);
            if rule.unit == refused {
                if wait > longest {
                    (denial.rule, longest) = (index, wait);
                }
                if ring.free(rule, held[unit]) < step[unit].min(rule.limit) {
                    denial.earliest = denial.earliest.max(ring.first_leaves(rule) - now);
                }
            }
        }
        Some(denial)
    }
}

impl Ring {
    /// Lets go of what has left the window. A clock that went back leaves everything where it is.
    fn advance(&mut self, rule: &Rule, now: i64) {
        let target = rule.span.bucket(now);
        let slots = rule.span.depth() + 1;
        if target - self.last >= slots {
            self.earn(rule, target - self.last, self.sum);
            self.sum = 0;
            self.slots.fill(0);
            self.last = target;
        }
        while self.last < target {
            self.last += 1;
            let slot = self.slot(self.last);
            let dropped = std::mem::take(&mut self.slots[slot]);
            self.sum -= dropped;
            self.earn(rule, 1, dropped);
        }
        self.bank = self.bank.min(rule.bank * rule.span.depth());
    }

    /// Unused allowance of buckets that left, saved up to the cap.
    fn earn(&mut self, rule: &Rule, buckets: i64, used: i64) {
        let depth = rule.span.depth();
        self.bank = banked(rule, self.bank, buckets, used).clamp(0, rule.bank * depth);
    }

    fn slot(&self, bucket: i64) -> usize {
        usize::try_from(bucket.rem_euclid(i64::try_from(self.slots.len()).unwrap_or(1))).unwrap_or(0)
    }

    fn add(&mut self, rule: &Rule, now: i64, dated: Dated) {
        let bucket = rule.span.bucket(now - dated.age).min(self.last);
        if dated.amount > 0 && bucket >= self.last - rule.span.depth() {
            let slot = self.slot(bucket);
            self.slots[slot] += dated.amount;
            self.sum += dated.amount;
        }
    }

    /// Takes a failed charge out again, from its own bucket or the next ones, never from older ones.
    fn take_back(&mut self, rule: &Rule, now: i64, dated: Dated) {
        let first = rule.span.bucket(now - dated.age);
        if dated.amount <= 0 || first < self.last - rule.span.depth() {
            return;
        }
        let mut left = dated.amount;
        for bucket in first..=self.last {
            let slot = self.slot(bucket);
            let taken = self.slots[slot].min(left);
            self.slots[slot] -= taken;
            self.sum -= taken;
            left -= taken;
        }
    }

    fn capacity(&self, rule: &Rule) -> i64 {
        rule.limit + self.bank / rule.span.depth().max(1)
    }

    fn free(&self, rule: &Rule, held: i64) -> i64 {
        self.capacity(rule) - self.sum - held
    }

    /// When the oldest charge leaves the window.
    fn first_leaves(&self, rule: &Rule) -> i64 {
        let oldest = (self.last - rule.span.depth()..self.last).find(|bucket| self.slots[self.slot(*bucket)] > 0);
        rule.span.leaves(oldest.unwrap_or(self.last))
    }

    /// Microseconds until `rest` fits beside `held` when nothing else is charged.
    fn wait(&self, rule: &Rule, held: i64, rest: i64, clock: Clock) -> i64 {
        let Clock { now, hold_ttl } = clock;
        let depth = rule.span.depth();
        let (mut sum, mut bank) = (self.sum, self.bank);
        if self.free(rule, held) >= rest {
            return 0;
        }
        for bucket in self.last - depth..=self.last {
            let dropped = self.slots[self.slot(bucket)];
            sum -= dropped;
            bank = banked(rule, bank, 1, dropped).clamp(0, rule.bank * depth);
            if rule.limit + bank / depth.max(1) - sum - held >= rest {
                return rule.span.leaves(bucket) - now;
            }
        }
        // Only leases stand in the way: spent at the last moment, they leave with this bucket's successors.
        rule.span.leaves(self.last) + hold_ttl - now
    }
}

fn banked(rule: &Rule, bank: i64, buckets: i64, used: i64) -> i64 {
    bank.saturating_add(rule.limit.saturating_mul(buckets)) - used * rule.span.depth()
}
