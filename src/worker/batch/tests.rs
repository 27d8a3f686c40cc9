//! Who goes next, over doubles of nothing: plain records in, batches out.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use proptest::prelude::*;

use super::super::decode::decode;
use super::super::decode::tests::record;
use super::super::doubles::{ROOM, limits, offsets_of, partition};
use super::super::offsets::Offsets;
use super::*;

fn batcher(limits: Limits, partitions: impl IntoIterator<Item = Partition>) -> Batcher {
    let (mut offsets, mut batcher) = (Offsets::default(), Batcher::new(limits));
    for partition in partitions {
        let generation = offsets.assign(partition.clone());
        batcher.assign(partition, generation);
    }
    batcher
}

fn standard(limits: Limits, partitions: i32) -> Batcher {
    batcher(limits, (0..partitions).map(partition))
}

fn bulk(number: i32) -> Partition {
    Partition { topic: "t.bulk".into(), partition: number }
}

fn fill(batcher: &mut Batcher, account: &str, number: i32, offsets: Range<i64>, now: Instant) {
    for offset in offsets {
        batcher.push(&partition(number), decode(record(account, number, offset)), now);
    }
}

fn fill_bulk(batcher: &mut Batcher, offsets: Range<i64>, now: Instant) {
    for offset in offsets {
        let polled = crate::kafka::Polled { topic: "t.bulk".into(), ..record("whale", 0, offset) };
        batcher.push(&bulk(0), decode(polled), now);
    }
}

fn accounts(parts: &[Part]) -> Vec<&str> {
    let records = parts.iter().flat_map(|part| &part.records);
    records.filter_map(|record| record.event.as_ref().ok()).map(|event| event.account_id.as_str()).collect()
}

#[test]
fn a_batch_goes_when_it_is_full_or_has_waited() {
    let now = Instant::now();
    let wait = Duration::from_millis(50);
    let mut batcher = standard(Limits { wait, ..limits(3) }, 2);
    fill(&mut batcher, "acme", 0, 0..2, now);
    assert!(batcher.take(now, ROOM).is_none());
    assert_eq!(batcher.due(ROOM), Some(now + wait));
    fill(&mut batcher, "acme", 1, 0..1, now);
    assert_eq!(offsets_of(&batcher.take(now, ROOM).expect("full")), [(0, 0), (0, 1), (1, 0)]);
    assert_eq!(batcher.due(ROOM), None);
    fill(&mut batcher, "acme", 0, 2..3, now);
    assert!(batcher.take(now + wait, ROOM).is_none(), "the account's records of partition 0 are being written");
}

#[test]
fn bytes_bound_a_batch_but_never_starve_a_large_record() {
    let now = Instant::now();
    let size = decode(record("acme", 0, 0)).bytes();
    let mut two = standard(Limits { bytes: 2 * size, ..limits(100) }, 1);
    fill(&mut two, "acme", 0, 0..5, now);
    assert_eq!(two.take(now, ROOM).expect("due")[0].records.len(), 2);
    let mut tiny = standard(Limits { bytes: 1, ..limits(100) }, 1);
    fill(&mut tiny, "acme", 0, 0..5, now);
    assert_eq!(tiny.take(now, ROOM).expect("due")[0].records.len(), 1);
}

#[test]
fn a_slow_database_gets_smaller_batches() {
    let now = Instant::now();
    let mut batcher = standard(limits(100), 1);
    fill(&mut batcher, "acme", 0, 0..50, now);
    let taken = batcher.take(now, Room { events: 7, ..ROOM }).expect("due");
    assert_eq!(taken[0].records.len(), 7);
}

#[test]
fn a_backlog_costs_its_neighbours_a_round_in_its_own_partition_and_elsewhere() {
    let now = Instant::now();
    let mut batcher = standard(limits(100), 2);
    fill(&mut batcher, "whale", 0, 0..10_000, now);
    fill(&mut batcher, "same-partition", 0, 10_000..10_001, now);
    fill(&mut batcher, "elsewhere", 1, 0..1, now);
    let first = batcher.take(now, ROOM).expect("full");
    let taken = accounts(&first);
    assert_eq!(taken.len(), 100);
    assert!(taken.contains(&"same-partition") && taken.contains(&"elsewhere"));

    fill(&mut batcher, "same-partition", 0, 10_001..10_002, now);
    assert!(batcher.take(now, ROOM).is_none(), "both wait for the write that has earlier records of theirs");
    fill(&mut batcher, "newcomer", 0, 10_002..10_003, now);
    let second = batcher.take(now, ROOM).expect("due");
    assert_eq!(accounts(&second), ["newcomer"], "beside the write that is under way, in the same partition");
}

#[test]
fn weights_are_shares_of_a_batch() {
    let now = Instant::now();
    let mut batcher = standard(limits(400), 1);
    batcher.weigh(Weights::new(|account| if account.as_str() == "large" { 3 } else { 1 }));
    fill(&mut batcher, "large", 0, 0..1_000, now);
    fill(&mut batcher, "small", 0, 1_000..2_000, now);
    let taken = batcher.take(now, ROOM).expect("full");
    let large = accounts(&taken).into_iter().filter(|account| *account == "large").count();
    assert!((280..=320).contains(&large), "{large} of 400");
}

#[test]
fn the_bulk_lane_gets_half_the_slots_while_the_standard_lane_has_work() {
    let now = Instant::now();
    let mut batcher = batcher(limits(10), [partition(0), partition(1), bulk(0)]);
    fill_bulk(&mut batcher, 0..100, now);
    fill(&mut batcher, "a", 0, 0..1, now);
    fill(&mut batcher, "b", 1, 0..1, now);
    let lanes: Vec<bool> =
        (0..2).map(|_| batcher.take(now, ROOM).expect("due").iter().all(|part| is_bulk(&part.partition))).collect();
    assert_eq!(lanes, [true, false], "in turn, and never both in one batch");
    fill(&mut batcher, "c", 0, 1..2, now);
    let busy = Room { bulk: 1, ..ROOM };
    assert_eq!(accounts(&batcher.take(now, busy).expect("due")), ["c"]);
    assert!(batcher.take(now, busy).is_none(), "its strand is being written");
    assert_eq!(batcher.due(busy), None);
}

#[test]
fn a_bulk_lane_that_may_not_go_is_not_due() {
    let now = Instant::now();
    let wait = Duration::from_secs(1);
    let mut batcher = batcher(Limits { wait, ..limits(10) }, [partition(0), bulk(0)]);
    fill_bulk(&mut batcher, 0..5, now);
    fill(&mut batcher, "a", 0, 0..1, now + wait / 2);
    let busy = Room { bulk: 1, ..ROOM };
    assert_eq!(batcher.due(busy), Some(now + wait + wait / 2), "or the loop would wake for it again and again");
    assert_eq!(batcher.due(ROOM), Some(now + wait));
    assert!(batcher.take(now + wait, busy).is_none());
}

#[test]
fn a_partition_over_its_part_is_paused_alone_and_resumed_at_half() {
    let now = Instant::now();
    let weight = decode(record("acme", 0, 10)).weight();
    let mut batcher = standard(Limits { buffer: 20 * weight, ..limits(6) }, 2);
    let never = |_: &Partition| false;
    fill(&mut batcher, "acme", 0, 10..20, now);
    assert!(batcher.flow(never).is_empty());
    fill(&mut batcher, "acme", 0, 20..21, now);
    assert_eq!(batcher.flow(never), [Flow::Pause(partition(0))]);
    assert!(batcher.flow(never).is_empty(), "told once");
    let taken = batcher.take(now, ROOM).expect("full");
    assert!(batcher.flow(never).is_empty(), "what is being written counts");
    batcher.written(&taken[0]);
    assert_eq!(batcher.flow(never), [Flow::Resume(partition(0))]);
    assert_eq!(batcher.flow(|crowded| *crowded == partition(1)), [Flow::Pause(partition(1))]);
}

#[test]
fn a_revoked_partition_is_forgotten_and_its_late_write_is_not_heard() {
    let now = Instant::now();
    let mut batcher = standard(limits(3), 2);
    fill(&mut batcher, "acme", 0, 0..5, now);
    fill(&mut batcher, "acme", 1, 0..1, now);
    let mut taken = batcher.take(now, ROOM).expect("full");
    batcher.revoke(&partition(0));
    let late = taken.remove(0);
    batcher.put_back(late, now);
    assert_eq!(batcher.waiting(), 1, "of partition 1, behind no write");
    assert_eq!(offsets_of(&batcher.take(now, ROOM).expect("due")), [(1, 0)]);
}

proptest! {
    /// Whatever comes in and however writes end: each account's records of a partition leave in order, once, in one write at a
    /// time, and nothing is lost.
    #[test]
    fn order_holds_and_nothing_is_lost(
        steps in proptest::collection::vec((0u8..5, 0i32..3, 0usize..4), 1..250),
        most in 1usize..8,
    ) {
        const NAMES: [&str; 4] = ["a", "b", "c", "d"];
        let now = Instant::now();
        let mut batcher = standard(limits(most), 3);
        let (mut pushed, mut written) = ([0i64; 3], 0usize);
        let mut expected: HashMap<(i32, &str), Vec<i64>> = HashMap::new();
        let mut seen: HashMap<(i32, String), Vec<i64>> = HashMap::new();
        let mut running: Vec<Part> = Vec::new();
        for (step, number, account) in steps {
            let at = usize::try_from(number).expect("small");
            match step {
                0..=2 => {
                    fill(&mut batcher, NAMES[account], number, pushed[at]..pushed[at] + 1, now);
                    expected.entry((number, NAMES[account])).or_default().push(pushed[at]);
                    pushed[at] += 1;
                }
                3 => {
                    let parts = batcher.take(now, ROOM).unwrap_or_default();
                    prop_assert!(parts.iter().map(|part| part.records.len()).sum::<usize>() <= most);
                    for part in &parts {
                        prop_assert!(part.records.is_sorted_by_key(|record| record.origin.offset));
                        let busy: HashSet<StrandId> = running.iter().flat_map(|part| part.strands.clone()).collect();
                        prop_assert!(part.strands.iter().all(|strand| !busy.contains(strand)));
                    }
                    running.extend(parts);
                }
                _ => {
                    let Some(part) = running.pop() else { continue };
                    if account == 0 {
                        batcher.put_back(part, now);
                        continue;
                    }
                    for record in &part.records {
                        let account = record.event.as_ref().expect("an event").account_id.to_string();
                        seen.entry((part.partition.partition, account)).or_default().push(record.origin.offset);
                        written += 1;
                    }
                    batcher.written(&part);
                }
            }
            let under_way: usize = running.iter().map(|part| part.records.len()).sum();
            let all: i64 = pushed.iter().sum();
            prop_assert_eq!(all, i64::try_from(written + batcher.waiting() + under_way).expect("small"));
        }
        for ((number, account), offsets) in &seen {
            let all = &expected[&(*number, NAMES[NAMES.iter().position(|name| name == account).expect("known")])];
            prop_assert_eq!(&all[..offsets.len()], &offsets[..]);
        }
        // Every record is taken in the end, and memory with it.
        running.iter().for_each(|part| batcher.written(part));
        while let Some(parts) = batcher.take(now, ROOM) {
            parts.iter().for_each(|part| batcher.written(part));
        }
        prop_assert_eq!((batcher.waiting(), batcher.held()), (0, 0));
    }
}

#[test]
fn weights_are_shares_of_batches_smaller_than_a_turn() {
    let now = Instant::now();
    let mut batcher = standard(limits(20), 1);
    batcher.weigh(Weights::new(|account| if account.as_str() == "heavy" { 9 } else { 1 }));
    for offset in 0..1_000 {
        fill(&mut batcher, if offset % 2 == 0 { "heavy" } else { "light" }, 0, offset..offset + 1, now);
    }
    let (mut heavy, mut all) = (0, 0);
    while all < 500 {
        let parts = batcher.take(now, ROOM).expect("due");
        let taken = accounts(&parts);
        heavy += taken.iter().filter(|account| **account == "heavy").count();
        all += taken.len();
        parts.iter().for_each(|part| batcher.written(part));
    }
    assert!((430..=470).contains(&heavy), "{heavy} of {all}, nine to one");
}
