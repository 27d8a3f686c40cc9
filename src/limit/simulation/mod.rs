//! Instances, leases and the window in a world with one clock, against an exact log of every charge. The decisions are those of
//! the service: the same accounts, books and arithmetic; only the way to Redis is a function call here.

mod losses;
mod world;

use proptest::prelude::*;
use proptest::test_runner::Config as Runs;

use crate::domain::time::SECOND;
use world::World;

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

/// Who comes for five seconds at a time pays the beginning and the end each time, and still asks less than once in a hundred events.
#[test]
fn an_account_that_comes_and_goes_rarely_asks() {
    let (per_second, seconds, visits) = (200, 5, 6);
    let mut world = World::new(1, [60_000, 4_000, 52_428_800]);
    for _ in 0..visits {
        for _ in 0..per_second * seconds {
            world.pass(SECOND / per_second);
            assert_eq!(world.charge(0, [1, 400]), ([1, 400], None));
        }
        world.pass(10 * SECOND);
    }
    let asked = world.instances[0].held.len();
    let charged = usize::try_from(per_second * seconds * visits).expect("small");
    println!("{asked} commands for {charged} events");
    assert!(asked * 100 <= charged, "{asked} for {charged}");
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
