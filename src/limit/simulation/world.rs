//! The world of the simulation: instances, the window, the way between them, and the exact log. Invariant: the log holds every
//! unit at the instant at which somebody was told that it is granted.

use proptest::prelude::*;

use super::losses::{Fate, Weather};
use crate::domain::id::AccountId;
use crate::domain::quota::{Limit, Quota};
use crate::domain::ring::{Answer, Ask, State};
use crate::domain::time::{SECOND, Timestamp};
use crate::limit::account::Account;
use crate::limit::book::Moment;
use crate::limit::quotas::Quotas;
use crate::limit::refusal::Refusal;

pub(super) const TICK: i64 = SECOND / 10;
const START: i64 = 1_700_000_000 * SECOND;

/// Window and bucket of each limit under test: sustained, burst, bytes.
const WINDOWS: [(i64, i64); 3] = [(60 * SECOND, SECOND), (SECOND, SECOND / 10), (60 * SECOND, SECOND)];

pub(super) struct Instance {
    pub(super) account: Account,
    name: &'static str,
    /// What its clock shows beyond the window's.
    skew: i64,
    next_tick: i64,
    /// What the window has on record as its lease, and since when less.
    pub(super) held: Vec<(i64, [i64; 2])>,
}

pub(super) struct World {
    pub(super) now: i64,
    limits: [i64; 3],
    pub(super) window: State,
    pub(super) away: bool,
    pub(super) weather: Weather,
    /// Questions on their way, and when they arrive.
    late: Vec<(i64, Ask)>,
    pub(super) instances: Vec<Instance>,
    /// Charged: time, events, bytes.
    pub(super) log: Vec<(i64, [i64; 2])>,
}

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

impl World {
    pub(super) fn new(instances: usize, limits: [i64; 3]) -> Self {
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
        let (window, weather) = (State::default(), Weather::fair());
        Self { now: START, limits, window, away: false, weather, late: Vec::new(), instances, log: Vec::new() }
    }

    pub(super) fn moment(&self, index: usize) -> Moment {
        let instance = &self.instances[index];
        let instances = i64::try_from(self.instances.len()).expect("small");
        Moment { instance: instance.name.into(), instances, tick: TICK, now: self.now + instance.skew }
    }

    pub(super) fn pass(&mut self, micros: i64) {
        let end = self.now + micros;
        loop {
            let due = (0..self.instances.len()).min_by_key(|index| self.instances[*index].next_tick).expect("one");
            if self.instances[due].next_tick > end {
                break;
            }
            self.now = self.instances[due].next_tick;
            self.instances[due].next_tick += TICK;
            self.deliver();
            self.tick(due);
        }
        self.now = end;
    }

    /// Late questions arrive, in whatever order.
    fn deliver(&mut self) {
        let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= self.now);
        self.late = late;
        let due: Vec<(i64, Ask)> = due;
        for (_, ask) in due.into_iter().rev() {
            self.window.apply(&ask, self.now);
        }
    }

    fn tick(&mut self, index: usize) {
        let moment = self.moment(index);
        let fate = self.weather.of_a_renewal();
        let instance = &mut self.instances[index];
        let mut book = instance.account.book.try_lock().expect("one thread");
        let Some(ask) = book.tick(&instance.account, &moment, self.away) else { return };
        if let Some(answer) = ask_window((&mut self.window, &mut self.late), &ask, self.now, fate) {
            instance.held.push((self.now, [0, 1].map(|unit| ask.holds[unit].keep + answer.lease[unit])));
            book.settle(&instance.account, &ask, answer, &moment);
        }
    }

    /// Whether a charge would be refused by memory.
    pub(super) fn remembers(&self, index: usize, need: [i64; 2]) -> bool {
        self.instances[index].account.refused(need, self.moment(index).now).is_some()
    }

    /// The way of `Shared::charge`.
    pub(super) fn charge(&mut self, index: usize, need: [i64; 2]) -> ([i64; 2], Option<Refusal>) {
        self.deliver();
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
            let (ask, fate) = (book.tell(ask, &moment), self.weather.of_a_charge());
            match ask_window((&mut self.window, &mut self.late), &ask, self.now, fate) {
                Some(answer) => {
                    instance.held.push((self.now, answer.lease));
                    book.settle(account, &ask, answer, &moment)
                }
                // Who asked has hung up.
                None if self.weather.strikes(20) => return ([0; 2], None),
                None => book.decide_alone(account, ask, &moment),
            }
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

    pub(super) fn is_within(&self, slack: i64) -> Result<(), TestCaseError> {
        for (limit, (window, _)) in WINDOWS.into_iter().enumerate() {
            let used = self.exact(limit, window);
            let most = self.limits[limit] + slack * self.limits[limit].max(self.instances.len() as i64);
            prop_assert!(used <= most, "limit {limit}: {used} of {most} at {}", self.now - START);
        }
        Ok(())
    }

    /// A refusal is right for a log that looks a bucket and a tick further back and counts what others hold; one that is
    /// remembered (two ticks) was right when it was made.
    pub(super) fn is_no_earlier_than_promised(&self, index: usize, rest: [i64; 2]) -> Result<(), TestCaseError> {
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

/// The way to the window and back; nothing where no answer is heard.
fn ask_window((window, late): (&mut State, &mut Vec<(i64, Ask)>), ask: &Ask, now: i64, fate: Fate) -> Option<Answer> {
    match fate {
        Fate::Heard => Some(window.apply(ask, now)),
        Fate::Lost => None,
        Fate::Unheard => {
            window.apply(ask, now);
            None
        }
        Fate::Late(by) => {
            late.push((now + by, ask.clone()));
            None
        }
    }
}
