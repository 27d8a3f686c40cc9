//! Who is moved when.

use super::*;
use crate::config::Config;

struct Rig {
    lanes: Lanes,
    start: Instant,
    next: i64,
}

fn rig(backlog: u64, instances: u32) -> Rig {
    let mut config = Config::from_env().expect("defaults");
    config.lanes.lane_backlog = backlog;
    config.lanes.instances = instances;
    let rig = Rig { lanes: Lanes::new(&config.kafka, &config.lanes), start: Instant::now(), next: 0 };
    rig.stored(Lane::Standard, 0, 0);
    rig
}

fn account(name: &str) -> AccountId {
    AccountId::new(name).expect("account")
}

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000).expect("time")
}

impl Rig {
    fn publish(&mut self, name: &str, records: i64) -> Lane {
        let account = account(name);
        let lane = self.lanes.of(&account);
        let placements = (self.next..self.next + records).map(|offset| Placement { partition: 0, offset });
        self.lanes.published(&account, lane, placements, now());
        self.next += records;
        self.lanes.of(&account)
    }

    fn stored(&self, lane: Lane, next_offset: i64, seconds: u64) {
        self.pinned(lane, next_offset, seconds, HashMap::new());
    }

    fn pinned(&self, lane: Lane, next_offset: i64, seconds: u64, pins: HashMap<AccountId, Lane>) {
        let settled = Settled { topic: self.lanes.topic(lane).to_string(), partition: 0, next_offset };
        self.lanes.settled(&[settled], pins, self.start + Duration::from_secs(seconds), now());
    }

    fn moves(&self) -> Vec<Lane> {
        self.lanes.take_moves().into_iter().map(|moved| moved.lane).collect()
    }
}

#[test]
fn an_account_past_its_bound_takes_the_bulk_lane_alone() {
    let mut rig = rig(100, 1);
    assert_eq!(rig.publish("small", 3), Lane::Standard);
    assert_eq!(rig.publish("whale", 100), Lane::Standard, "at the bound");
    assert_eq!(rig.publish("whale", 1), Lane::Bulk);
    assert_eq!(rig.publish("small", 3), Lane::Standard);
    assert_eq!(rig.moves(), [Lane::Bulk]);
    assert!(rig.moves().is_empty(), "told once");
}

#[test]
fn instances_divide_the_bound() {
    let mut rig = rig(100, 4);
    assert_eq!(rig.publish("whale", 25), Lane::Standard);
    assert_eq!(rig.publish("whale", 1), Lane::Bulk);
}

#[test]
fn what_is_stored_in_time_never_piles_up() {
    let mut rig = rig(100, 1);
    for _ in 0..50 {
        assert_eq!(rig.publish("busy", 90), Lane::Standard);
        rig.stored(Lane::Standard, rig.next, 0);
    }
    assert!(rig.lanes.state.lock().tracks.is_empty(), "and nothing is remembered");
}

#[test]
fn it_comes_back_after_a_quiet_while_under_a_quarter() {
    let mut rig = rig(100, 1);
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
    assert_eq!(rig.moves(), [Lane::Bulk, Lane::Standard]);
}

#[test]
fn without_news_of_what_is_stored_nobody_moves() {
    let mut rig = rig(100, 1);
    rig.lanes.freeze();
    assert_eq!(rig.publish("whale", 1_000), Lane::Standard);
    rig.stored(Lane::Standard, 0, 0);
    assert_eq!(rig.publish("whale", 1), Lane::Bulk, "with the next record after the news");
    let fresh = Lanes::new(&Config::from_env().expect("defaults").kafka, &Config::from_env().expect("defaults").lanes);
    assert!(fresh.state.lock().frozen, "nor at the start");
}

#[test]
fn a_pin_beats_the_count_in_both_directions() {
    let mut rig = rig(100, 1);
    let pin = |name: &str, lane| HashMap::from([(account(name), lane)]);
    rig.pinned(Lane::Standard, 0, 0, pin("small", Lane::Bulk));
    assert_eq!(rig.publish("small", 1), Lane::Bulk);
    rig.pinned(Lane::Standard, 0, 0, pin("whale", Lane::Standard));
    assert_eq!(rig.publish("whale", 1_000), Lane::Standard);
    assert!(rig.moves().is_empty());
    rig.stored(Lane::Standard, 0, 0);
    assert_eq!(rig.publish("whale", 1), Lane::Bulk, "once the pin is gone");
}
