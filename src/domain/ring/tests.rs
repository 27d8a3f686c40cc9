//! The window against cases worked out by hand.

use super::*;

const MS: i64 = 1_000;

fn rule(policy: Policy, limit: i64) -> Rule {
    let span = match policy {
        Policy::Burst => Span::Sliding { buckets: 10, width: 100 * MS, offset: 0 },
        _ => Span::Sliding { buckets: 60, width: 1_000 * MS, offset: 0 },
    };
    Rule { policy, unit: Unit::of(policy).expect("a window"), span, limit, bank: 0, enforced: true }
}

fn ask(rules: &[Rule], need: [i64; 2]) -> Ask {
    let rules = rules.into();
    let (spent, refunds) = ([Vec::new(), Vec::new()], Vec::new());
    Ask {
        instance: "a".into(),
        number: 0,
        unheard: 0,
        sharers: 1,
        hold_ttl: 15_000 * MS,
        rules,
        holds: Default::default(),
        spent,
        refunds,
        need,
    }
}

fn told(age: i64, amount: i64) -> Told {
    Told { dated: Dated { age, amount }, first: 0 }
}

fn events(rules: &[Rule], need: i64) -> Ask {
    ask(rules, [need, 0])
}

#[test]
fn a_batch_is_charged_item_by_item_while_it_fits() {
    let rules = [rule(Policy::Sustained, 10), rule(Policy::Burst, 6)];
    let mut state = State::default();
    let first = state.apply(&events(&rules, 4), 0);
    assert_eq!((first.granted[0], first.denial), (4, None));
    let second = state.apply(&events(&rules, 4), 0);
    assert_eq!(second.granted[0], 2);
    let denial = second.denial.expect("burst is full");
    assert_eq!((denial.rule, denial.wait, denial.earliest), (1, 1_100 * MS, 1_100 * MS));
    // Burst has cleared; of the minute's ten, six are spent.
    let third = state.apply(&events(&rules, 6), 1_100 * MS);
    assert_eq!(third.granted[0], 4);
    assert_eq!(third.denial.map(|denial| (denial.rule, denial.wait)), Some((0, 61_000 * MS - 1_100 * MS)));
}

#[test]
fn a_body_is_charged_whole_or_not_at_all() {
    let rules = [rule(Policy::Bytes, 100)];
    let mut state = State::default();
    assert_eq!(state.apply(&ask(&rules, [0, 60]), 0).granted, [0, 60]);
    let refused = state.apply(&ask(&rules, [0, 60]), 0);
    assert_eq!((refused.granted, refused.used[0].used), ([0, 0], 60));
    assert_eq!(state.apply(&ask(&rules, [0, 40]), 0).granted, [0, 40]);
}

#[test]
fn leases_count_until_they_are_given_back_and_as_spent_when_their_holder_is_gone() {
    let rules = [rule(Policy::Sustained, 100)];
    let mut state = State::default();
    let mut lease = events(&rules, 0);
    lease.holds[0].wish = 80;
    assert_eq!(state.apply(&lease, 0).lease, [50, 0], "half of the headroom at most");
    let mut other = events(&rules, 60);
    other.instance = "b".into();
    let partly = state.apply(&other, 0);
    assert_eq!(partly.granted[0], 50);
    assert_eq!(partly.denial.expect("the lease is in the way").earliest, 61_000 * MS);
    // `a` falls silent: at 16 s its 50 count as spent then, and leave a minute later.
    other.need[0] = 1;
    assert_eq!(state.apply(&other, 16_000 * MS).granted[0], 0);
    assert_eq!(state.apply(&other, 61_000 * MS).granted[0], 1);
    other.need[0] = 100;
    assert_eq!(state.apply(&other, 77_000 * MS).granted[0], 99);
}

#[test]
fn spends_are_dated_and_refunds_free_their_own_bucket() {
    let rules = [rule(Policy::Sustained, 10)];
    let mut state = State::default();
    let mut report = events(&rules, 0);
    report.spent[0] = vec![told(30_000 * MS, 4), told(0, 6)];
    assert_eq!(state.apply(&report, 100_000 * MS).used[0].used, 10);
    let refused = state.apply(&events(&rules, 4), 100_000 * MS);
    assert_eq!(refused.denial.expect("full").wait, 31_000 * MS);
    let mut refund = events(&rules, 3);
    refund.refunds = vec![told(100 * MS, 2)];
    assert_eq!(state.apply(&refund, 100_100 * MS).granted[0], 2);
}

#[test]
fn shadow_rules_count_and_never_refuse() {
    let mut shadow = rule(Policy::Sustained, 3);
    shadow.enforced = false;
    let answer = State::default().apply(&events(&[shadow], 10), 0);
    assert_eq!((answer.granted[0], answer.used[0].used), (10, 10));
}

#[test]
fn unused_allowance_is_banked_and_paid_back() {
    let mut banked = rule(Policy::Sustained, 60);
    banked.bank = 120;
    let mut state = State::default();
    assert_eq!(state.apply(&events(&[banked], 60), 0).granted[0], 60);
    // Two idle minutes beyond the window that paid the 60 back.
    let later = state.apply(&events(&[banked], 500), 240_000 * MS);
    assert_eq!((later.granted[0], later.used[0].capacity), (180, 180));
    let wait = later.denial.expect("all spent").wait;
    assert!(state.clone().apply(&events(&[banked], 60), 240_000 * MS + wait).granted[0] == 60);
    assert!(state.apply(&events(&[banked], 60), 240_000 * MS + wait - 1).granted[0] < 60);
}

#[test]
fn a_month_ends_with_its_calendar() {
    let span = Span::Calendar { index: 5, start: 0, end: 1_000, next_end: 3_000 };
    let monthly = Rule { policy: Policy::Monthly, unit: Unit::Events, span, limit: 5, bank: 0, enforced: true };
    let mut state = State::default();
    assert_eq!(state.apply(&events(&[monthly], 5), 10).granted[0], 5);
    let refused = state.apply(&events(&[monthly], 1), 400);
    assert_eq!(refused.denial.expect("spent").wait, 600);
    let next = state.apply(&events(&[monthly], 9), 1_000);
    assert_eq!((next.granted[0], next.denial.expect("spent again").wait), (5, 2_000));
}

#[test]
fn a_clock_that_goes_back_frees_nothing() {
    let rules = [rule(Policy::Burst, 5)];
    let mut state = State::default();
    assert_eq!(state.apply(&events(&rules, 5), 10_000 * MS).granted[0], 5);
    assert_eq!(state.apply(&events(&rules, 5), 5_000 * MS).granted[0], 0);
}

#[test]
fn without_its_bytes_no_event_is_granted() {
    let rules = [rule(Policy::Sustained, 10), rule(Policy::Bytes, 100)];
    let mut state = State::default();
    assert_eq!(state.apply(&ask(&rules, [12, 60]), 0).granted, [10, 60]);
    let refused = state.apply(&ask(&rules, [1, 41]), 30_000 * MS);
    assert_eq!(refused.granted, [0, 0]);
    let denial = refused.denial.expect("no room");
    assert_eq!((denial.rule, denial.wait), (1, 31_000 * MS));
}

#[test]
fn what_is_told_again_counts_once_and_what_nobody_heard_of_is_taken_back() {
    let rules = [rule(Policy::Sustained, 20)];
    let mut state = State::default();
    let numbered = |number, unheard, need| Ask { number, unheard, ..events(&rules, need) };
    let mut first = numbered(5, 0, 4);
    first.spent[0] = vec![Told { first: 5, ..told(0, 3) }];
    assert_eq!(state.apply(&first, 0).used[0].used, 7);
    // Its answer was not heard: the four were decided elsewhere, and the three are told again beside what is new.
    let mut second = numbered(6, 5, 0);
    second.spent[0] = vec![Told { first: 5, ..told(MS, 3) }, Told { first: 6, ..told(0, 2) }];
    second.holds[0].wish = 4;
    let answer = state.apply(&second, MS);
    assert_eq!((answer.lease[0], answer.used[0].used), (4, 3 + 2 + 4));
    // What comes after a later one changes nothing, its lease neither.
    assert_eq!(state.apply(&first, 2 * MS).granted, [0, 0]);
    let mut third = numbered(7, 0, 1);
    third.holds[0].keep = 4;
    assert_eq!(state.apply(&third, 2 * MS).used[0].used, 3 + 2 + 4 + 1);
    // Asked and never told there: nothing to take back.
    assert_eq!(state.apply(&numbered(9, 8, 0), 3 * MS).used[0].used, 6);
}
