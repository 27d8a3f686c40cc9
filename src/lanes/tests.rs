//! Who is moved when.

use super::*;
use crate::config::Config;
use crate::domain::receipt::Receipt;

struct Rig {
    lanes: Lanes,
    start: Instant,
    next: i64,
}

fn rig(backlog: u64, pins: Pins) -> Rig {
    let mut config = Config::from_env().expect("defaults").lanes;
    config.lane_backlog = backlog;
    Rig { lanes: Lanes::new(&config, Kept::fixed(pins)), start: Instant::now(), next: 0 }
}

fn account(name: &str) -> AccountId {
    AccountId::new(name).expect("account")
}

fn topic(lane: Lane) -> Arc<str> {
    lane.topic("e").into()
}

impl Rig {
    fn publish(&mut self, name: &str, records: i64) -> Lane {
        let account = account(name);
        let topic = topic(self.lanes.of(&account));
        let receipts = (self.next..self.next + records)
            .map(|offset| Receipt { topic: Arc::clone(&topic), partition: 0, offset })
            .collect::<Vec<_>>();
        self.lanes.publishing(&account, receipts.len()).ended(receipts.iter(), 0);
        self.next += records;
        self.lanes.of(&account)
    }

    fn stored(&self, lane: Lane, next_offset: i64, seconds: u64) {
        let mut stored = StoredTo::default();
        stored.add(topic(lane).to_string(), 0, next_offset, Timestamp::EPOCH);
        self.lanes.settled(&stored, self.start + Duration::from_secs(seconds));
    }

    fn moves(&self) -> Vec<(Lane, MoveReason)> {
        self.lanes.take_moves().into_iter().map(|moved| (moved.lane, moved.reason)).collect()
    }
}

#[test]
fn an_account_past_its_bound_takes_the_bulk_lane_alone() {
    let mut rig = rig(100, Pins::new());
    assert_eq!(rig.publish("small", 3), Lane::Standard);
    assert_eq!(rig.publish("whale", 100), Lane::Standard, "at the bound");
    assert_eq!(rig.publish("whale", 1), Lane::Bulk);
    assert_eq!(rig.publish("small", 3), Lane::Standard);
    assert_eq!(rig.moves(), [(Lane::Bulk, MoveReason::Backlog)]);
    assert!(rig.moves().is_empty(), "told once");
}

#[test]
fn instances_divide_the_bound() {
    let mut rig = rig(100, Pins::new());
    rig.lanes.divide_among(4);
    assert_eq!(rig.publish("whale", 25), Lane::Standard);
    assert_eq!(rig.publish("whale", 1), Lane::Bulk);
}

#[test]
fn what_is_stored_in_time_never_piles_up() {
    let mut rig = rig(100, Pins::new());
    for _ in 0..50 {
        assert_eq!(rig.publish("busy", 90), Lane::Standard);
        rig.stored(Lane::Standard, rig.next, 0);
    }
    assert!(rig.lanes.shared.shards.iter().all(|shard| shard.lock().is_empty()), "and nothing is remembered");
}

#[test]
fn it_comes_back_after_a_quiet_while_under_a_quarter() {
    let mut rig = rig(100, Pins::new());
    rig.publish("whale", 200);
    rig.publish("whale", 50);
    rig.stored(Lane::Standard, 200, 0);
    rig.stored(Lane::Standard, 200, 100);
    assert_eq!(rig.lanes.of(&account("whale")), Lane::Bulk, "what waits in the bulk lane counts too");
    rig.stored(Lane::Bulk, 240, 101);
    rig.stored(Lane::Bulk, 240, 160);
    assert_eq!(rig.lanes.of(&account("whale")), Lane::Bulk, "59 seconds");
    rig.publish("whale", 90);
    rig.stored(Lane::Bulk, 250, 161);
    rig.stored(Lane::Bulk, rig.next, 162);
    rig.stored(Lane::Bulk, rig.next, 221);
    assert_eq!(rig.lanes.of(&account("whale")), Lane::Bulk, "the while began anew");
    rig.stored(Lane::Bulk, rig.next, 222);
    assert_eq!(rig.lanes.of(&account("whale")), Lane::Standard);
    assert_eq!(rig.moves(), [(Lane::Bulk, MoveReason::Backlog), (Lane::Standard, MoveReason::Calm)]);
}

#[test]
fn records_nobody_heard_of_wait_too() {
    let rig = rig(100, Pins::new());
    let whale = account("whale");
    for _ in 0..10 {
        drop(rig.lanes.publishing(&whale, 10));
    }
    assert_eq!(rig.lanes.standing(&whale), Standing { lane: Lane::Standard, pinned: None, backlog: 100 });
    rig.lanes.publishing(&whale, 0).ended(std::iter::empty(), 1);
    assert_eq!(rig.lanes.of(&whale), Lane::Bulk);
    rig.lanes.publishing(&account("refused"), 10).not_sent();
    assert_eq!(rig.lanes.standing(&account("refused")).backlog, 0);
}

#[test]
fn requests_at_the_same_time_count_before_the_log_answers() {
    let rig = rig(100, Pins::new());
    let whale = account("whale");
    let requests: Vec<_> = (0..5).map(|_| rig.lanes.publishing(&whale, 60)).collect();
    let lanes: Vec<Lane> = requests.iter().map(Publishing::lane).collect();
    assert_eq!(lanes, [Lane::Standard, Lane::Standard, Lane::Bulk, Lane::Bulk, Lane::Bulk]);
    requests.into_iter().for_each(Publishing::not_sent);
    assert_eq!(rig.lanes.standing(&whale).backlog, 0);
}

#[test]
fn a_pin_beats_the_count_in_both_directions() {
    let pins = Pins::from([(account("small"), Lane::Bulk), (account("whale"), Lane::Standard)]);
    let mut rig = rig(100, pins.clone());
    assert_eq!(rig.publish("small", 1), Lane::Bulk);
    assert_eq!(rig.publish("whale", 1_000), Lane::Standard);
    rig.stored(Lane::Standard, 0, 0);
    assert!(rig.moves().is_empty());
    rig.lanes.repinned(&Pins::new(), &pins);
    assert_eq!(rig.moves(), [(Lane::Bulk, MoveReason::Pinned)], "whom a pin leaves where it is, it does not move");
    rig.lanes.repinned(&pins, &Pins::new());
    assert_eq!(rig.moves(), [(Lane::Standard, MoveReason::Unpinned)]);
}

#[test]
fn moves_that_were_not_noted_come_again_in_order_and_are_bounded() {
    let rig = rig(100, Pins::new());
    let note = |backlog| rig.lanes.note(&account("a"), Lane::Bulk, MoveReason::Backlog, backlog);
    (0..1_001).for_each(note);
    let taken = rig.lanes.take_moves();
    assert_eq!((taken.len(), taken[0].backlog), (MAX_MOVES, 1));
    (2_000..2_010).for_each(note);
    rig.lanes.give_back(taken);
    let again: Vec<u64> = rig.lanes.take_moves().iter().map(|moved| moved.backlog).collect();
    assert_eq!((again.len(), again[0], again[MAX_MOVES - 1]), (MAX_MOVES, 11, 2_009));
}
