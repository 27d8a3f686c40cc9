//! Instances, leases and the window in a world with one clock, against an exact log of every charge. The decisions are those of
//! the service: the same accounts, books and arithmetic; only the way to Redis is a function call here.

use proptest::prelude::*;
use proptest::test_runner::Config as Runs;

use super::account::Account;
use super::book::Moment;
use super::quotas::Quotas;
use super::refusal::Refusal;
use crate::domain::id::AccountId;
use crate::domain::quota::{Limit, Quota};
use crate::domain::ring::State;
use crate::domain::time::{SECOND, Timestamp};

const TICK: i64 = SECOND / 10;
const START: i64 = 1_700_000_000 * SECOND;

/// Window and bucket of each limit under test: sustained, burst, bytes.
const WINDOWS: [(i64, i64); 3] = [(60 * SECOND, SECOND), (SECOND, SECOND / 10), (60 * SECOND, SECOND)];

struct Instance {
    account: Account,
    name: &'static str,
    /// What its clock shows beyond the window's.
    skew: i64,
    next_tick: i64,
    /// What the window has on record as its lease, and since when less.
    held: Vec<(i64, [i64; 2])>,
}

struct World {
    now: i64,
    limits: [i64; 3],
    window: State,
    away: bool,
    instances: Vec<Instance>,
    /// Charged: time, events, bytes.
    log: Vec<(i64, [i64; 2])>,
}

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

impl World {
    fn new(instances: usize, limits: [i64; 3]) -> Self {
        let quota = Quota {
            sustained: Limit::enforced(limits[0]),
            burst: Limit::enforced(limits[1]),
            bytes: Limit::enforced(limits[2]),
            concurrent: Limit::enforced(64),
            monthly: None,
            bank_minutes: 0,
            weight: 1,
        };
        let quotas = Quotas::new(quota);
        let id = AccountId::new("whale").expect("id");
        let at = Timestamp::from_micros(START).expect("time");
        let instance = |index: usize| Instance {
            account: Account::new(id.clone(), quotas.plan(&id, at), START),
            name: NAMES[index],
            skew: i64::try_from(index).expect("small") * 7_777_777,
            next_tick: START + i64::try_from(index).expect("small") * 13_700 % TICK,
            held: Vec::new(),
        };
        let instances = (0..instances).map(instance).collect();
        Self { now: START, limits, window: State::default(), away: false, instances, log: Vec::new() }
    }

    fn moment(&self, index: usize) -> Moment {
        let instance = &self.instances[index];
        let instances = i64::try_from(self.instances.len()).expect("small");
        Moment { instance: instance.name.into(), instances, tick: TICK, now: self.now + instance.skew }
    }

    fn pass(&mut self, micros: i64) {
        let end = self.now + micros;
        loop {
            let due = (0..self.instances.len()).min_by_key(|index| self.instances[*index].next_tick).expect("one");
            if self.instances[due].next_tick > end {
                break;
            }
            self.now = self.instances[due].next_tick;
            self.instances[due].next_tick += TICK;
            self.tick(due);
        }
        self.now = end;
    }

    fn tick(&mut self, index: usize) {
        let moment = self.moment(index);
        let instance = &mut self.instances[index];
        let mut book = instance.account.book.try_lock().expect("one thread");
        if let Some(ask) = book.tick(&instance.account, &moment, self.away) {
            let answer = self.window.apply(&ask, self.now);
            instance.held.push((self.now, [0, 1].map(|unit| ask.holds[unit].keep + answer.lease[unit])));
            book.settle(&instance.account, &ask, answer, &moment);
        }
    }

    /// Whether a charge would be refused by memory.
    fn remembers(&self, index: usize, need: [i64; 2]) -> bool {
        self.instances[index].account.refused(need, self.moment(index).now).is_some()
    }

    /// The way of `Shared::charge`.
    fn charge(&mut self, index: usize, need: [i64; 2]) -> ([i64; 2], Option<Refusal>) {
        let moment = self.moment(index);
        let instance = &mut self.instances[index];
        let account = &instance.account;
        if account.take(need) {
            self.log.push((self.now, need));
            return (need, None);
        }
        if let Some(refusal) = account.refused(need, moment.now) {
            return ([0; 2], Some(refusal));
        }
        let mut book = account.book.try_lock().expect("one thread");
        let ask = book.question(account, need, &moment);
        let settled = if self.away {
            book.decide_alone(account, ask, &moment)
        } else {
            let answer = self.window.apply(&ask, self.now);
            instance.held.push((self.now, answer.lease));
            book.settle(account, &ask, answer, &moment)
        };
        self.log.push((self.now, settled.granted));
        (settled.granted, settled.refusal)
    }

    /// Charged in the last `window` microseconds, by limit.
    fn exact(&self, limit: usize, window: i64) -> i64 {
        let unit = usize::from(limit == 2);
        let inside = self.log.iter().rev().take_while(|(at, _)| *at > self.now - window);
        inside.map(|(_, units)| units[unit]).sum()
    }

    /// The most the others had on record since `since`.
    fn held_by_others(&self, index: usize, limit: usize, since: i64) -> i64 {
        let unit = usize::from(limit == 2);
        let most = |instance: &Instance| {
            let first = instance.held.iter().rposition(|(at, _)| *at <= since).unwrap_or(0);
            instance.held[first..].iter().map(|(_, held)| held[unit]).max().unwrap_or(0)
        };
        let others = self.instances.iter().enumerate().filter(|(other, _)| *other != index);
        others.map(|(_, instance)| most(instance)).sum()
    }

    fn is_within(&self, slack: i64) -> Result<(), TestCaseError> {
        for (limit, (window, _)) in WINDOWS.into_iter().enumerate() {
            let used = self.exact(limit, window);
            let most = self.limits[limit] + slack * self.limits[limit].max(self.instances.len() as i64);
            prop_assert!(used <= most, "limit {limit}: {used} of {most} at {}", self.now - START);
        }
        Ok(())
    }

    /// A refusal is right for a log that looks a bucket and a tick further back and counts what others hold; one that is
    /// remembered (two ticks) was right when it was made.
    fn is_no_earlier_than_promised(&self, index: usize, rest: [i64; 2]) -> Result<(), TestCaseError> {
        let mut reasons = String::new();
        for (limit, (window, bucket)) in WINDOWS.into_iter().enumerate() {
            let step = if limit == 2 { rest[1] } else { rest[0].min(1) };
            let used = self.exact(limit, window + bucket + 3 * TICK);
            let held = self.held_by_others(index, limit, self.now - 2 * TICK);
            if step > 0 && used + held + step > self.limits[limit] {
                return Ok(());
            }
            reasons += &format!(" limit {limit}: {used} used, {held} held, {step} wanted;");
        }
        prop_assert!(false, "refused too early at {}:{reasons}", self.now - START);
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct Step {
    gap: i64,
    instance: usize,
    need: [i64; 2],
    patient: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let gap = prop_oneof![4 => 0..3_000i64, 4 => 0..90_000i64, 1 => 0..2_000_000i64];
    let need = prop_oneof![3 => 1..4i64, 1 => 0..60i64];
    (gap, 0..10usize, need, 0..600i64, prop::bool::weighted(0.03))
        .prop_map(|(gap, instance, events, bytes, patient)| Step { gap, instance, need: [events, bytes], patient })
}

fn limits() -> impl Strategy<Value = [i64; 3]> {
    (prop_oneof![1..6i64, 20..400i64], prop_oneof![1..6i64, 20..200i64], 600..60_000i64).prop_map(|(a, b, c)| [a, b, c])
}

fn runs(cases: u32) -> Runs {
    Runs { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Runs::default() }
}

proptest! {
    #![proptest_config(runs(300))]

    /// Never over the limit while Redis answers; refused too early by at most a bucket, a tick and what others hold; and whoever
    /// waits as long as told is served.
    #[test]
    fn the_limit_holds_and_refusals_are_right(
        instances in 1..=10usize,
        limits in limits(),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let mut world = World::new(instances, limits);
        for step in steps {
            world.pass(step.gap);
            let index = step.instance % instances;
            let remembered = world.remembers(index, step.need);
            let (granted, refusal) = world.charge(index, step.need);
            world.is_within(0)?;
            let Some(refusal) = refusal else {
                prop_assert_eq!(granted, step.need);
                continue;
            };
            let rest = [step.need[0] - granted[0], step.need[1] - granted[1]];
            world.is_no_earlier_than_promised(index, rest)?;
            if step.patient {
                world.pass(refusal.retry_after_seconds * SECOND);
                // What is remembered does not know of bodies that other instances read in the two ticks since.
                let bytes = if remembered { 0 } else { step.need[1] };
                let need = [rest[0].min(limits[0]).min(limits[1]), bytes];
                let (granted, _) = world.charge((step.instance + 3) % instances, need);
                prop_assert_eq!(granted, need, "told to wait {} s by {:?}", refusal.retry_after_seconds, refusal.policy);
                world.is_within(0)?;
            }
        }
    }

    /// Redis goes, stays away, and comes back as it was, or empty: never more than one limit and the shares on top.
    #[test]
    fn the_overshoot_after_a_loss_is_bounded(
        instances in 1..=10usize,
        limits in limits(),
        steps in prop::collection::vec((step(), prop::bool::weighted(0.01)), 50..400),
    ) {
        let mut world = World::new(instances, limits);
        let mut changes = 0;
        for (step, change) in steps {
            world.pass(step.gap);
            // One loss and one return: each further one would need a sentence of its own.
            if change && changes < 2 {
                world.away = !world.away;
                changes += 1;
            }
            world.charge(step.instance % instances, step.need);
            world.is_within(1)?;
        }
    }
}

/// At the default limits and a steady pace nearly nobody asks: the aim is one command for a thousand events.
#[test]
fn a_steady_account_rarely_asks() {
    for (per_second, instances) in [(100, 1), (1_000, 1), (600, 3)] {
        let mut world = World::new(instances, [60_000, 4_000, 52_428_800]);
        let gap = SECOND / per_second;
        let mut charged = 0;
        for turn in 0..per_second * 55 {
            world.pass(gap);
            let (granted, _) = world.charge(usize::try_from(turn).expect("small") % instances, [1, 400]);
            charged += granted[0];
        }
        let asked: usize = world.instances.iter().map(|instance| instance.held.len()).sum();
        assert_eq!(charged, per_second * 55);
        let per_thousand = 1_000.0 * asked as f64 / charged as f64;
        println!("{per_second}/s over {instances}: {asked} commands, {per_thousand:.2} per 1,000 events");
        assert!(per_thousand <= 10.0, "{per_second}/s over {instances}: {per_thousand} per 1,000");
    }
}

#[test]
fn ten_instances_take_a_legal_batch_and_share_three_a_minute() {
    let mut world = World::new(10, [60_000, 4_000, 52_428_800]);
    for turn in 0..20_000 {
        world.pass(1_000);
        world.charge(turn % 10, [1, 100]);
    }
    // 1,000 a second are in use, and every instance holds a lease.
    assert_eq!(world.charge(4, [1_000, 300_000]), ([1_000, 300_000], None));

    let mut world = World::new(10, [3, 4_000, 52_428_800]);
    let granted: i64 = (0..10).map(|index| world.charge(index, [1, 100]).0[0]).sum();
    assert_eq!(granted, 3);
    world.pass(62 * SECOND);
    let granted: i64 = (0..10).map(|index| world.charge(index, [1, 100]).0[0]).sum();
    assert_eq!(granted, 3);
}

#[test]
fn a_whale_gets_nine_tenths_of_its_quota_and_asks_little() {
    let mut world = World::new(3, [3_000, 4_000, 52_428_800]);
    let mut granted = 0;
    for turn in 0..5_000 * 120 {
        world.pass(200);
        granted += world.charge(turn % 3, [1, 100]).0[0];
    }
    let asked: usize = world.instances.iter().map(|instance| instance.held.len()).sum();
    println!("whale: {granted} of 6,000 in two minutes, {asked} commands for 600,000 events");
    assert!((5_400..=6_000).contains(&granted), "{granted}");
    assert!(asked < 6_000, "{asked}");
}

#[test]
fn refunds_come_back_and_are_not_spent_twice() {
    let mut world = World::new(2, [10, 4_000, 52_428_800]);
    assert_eq!(world.charge(0, [10, 100]).0[0], 10);
    assert_eq!(world.charge(1, [1, 100]).0[0], 0);
    let charged_at = world.moment(0).now;
    world.instances[0].account.book.try_lock().expect("one thread").refund(charged_at, 6);
    world.pass(2 * SECOND);
    assert_eq!(world.charge(1, [10, 100]).0[0], 6);
    world.pass(30 * SECOND);
    assert_eq!(world.charge(0, [1, 100]).0[0], 0);
}
