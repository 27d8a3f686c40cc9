//! The bookkeeping of one account's leases: what was spent and not yet told, how fast, and what to ask for next. Invariant: what is
//! claimed as held (`keep`) plus what is told as spent covers everything spent since the last answer, so a lost question or
//! answer mends itself with the next one; and each question has a number, and each spend that of the question that told it first,
//! so none counts twice.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::domain::ring::{Answer, Ask, Dated, Hold, State, Unit, Used};
use crate::domain::time::SECOND;

use super::account::{Account, Block, Known};
use super::metrics;
use super::refusal::Refusal;
use super::spends::{Spend, Spends};

/// Microseconds without a word after which Redis counts a lease as spent.
pub(super) const HOLD_TTL: i64 = 15 * SECOND;

/// A lease is told of at least this often, well within [`HOLD_TTL`].
const TELL_EVERY: i64 = 5 * SECOND;

/// Ticks without use after which a lease goes back.
const QUIET_TICKS: u32 = 2;

/// Ticks of recent use a lease is to last. At 100 events a second and a tick of 100 ms: one command for about 1,000 events.
const LASTS_TICKS: f64 = 100.0;

/// The same by the use of this tick alone, before there is a pace. In the first tick it is a part of a tick's use: with 200 events a
/// second the third question of a new account already has a lease for seconds.
const FIRST_TICKS: i64 = 30;

/// A lease runs low when it lasts no longer than this many ticks of recent use, or holds no more than this part of what it should.
const LOW_TICKS: f64 = 3.0;
const LOW_PART: i64 = 16;

/// Fewer events a tick than this are not worth a lease: it would go back before it is used.
const LIVELY: f64 = 0.5;

/// Who asks, among how many, and when.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) instance: Arc<str>,
    pub(super) instances: i64,
    /// Microseconds between ticks.
    pub(super) tick: i64,
    /// Microseconds on a clock that never goes back.
    pub(super) now: i64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Book {
    units: [UnitBook; 2],
    /// Refunded events by the time of their charge: not told to anybody, and told to the own share only.
    refunds: Vec<Spend>,
    refunds_owed: Vec<Spend>,
    /// Of the last question to Redis: a time that never repeats, so that a book made anew goes on above it.
    number: i64,
    /// Of the first one since an answer was heard; 0 when that was the last one.
    unheard: i64,
    /// When Redis was last told.
    told_at: i64,
    /// Whether Redis has a lease of ours on record.
    on_record: bool,
    /// The own share, while this instance decides alone.
    alone: Option<State>,
    /// Whether the leases came from the own share.
    from_alone: bool,
    quiet: u32,
    calls: u32,
    spent_last_tick: bool,
}

#[derive(Debug, Default)]
struct UnitBook {
    /// What the lease held at the last look.
    level: i64,
    /// Spent since the last answer of whoever answers now.
    fresh: Spends,
    /// Spent and told to the own share, but not to Redis.
    owed: Spends,
    /// Used since the last tick.
    used: i64,
    /// Used a tick, lately.
    pace: f64,
}

impl Book {
    /// Looks at what was spent; `give_back` takes what is left out of the lease. Answers what stays held.
    fn look(&mut self, account: &Account, now: i64, give_back: bool) -> [i64; 2] {
        Unit::ALL.map(|unit| {
            if !account.counts(unit) {
                return 0;
            }
            let left = &account.left[unit.index()];
            let (found, keep) = if give_back {
                (left.swap(0, Ordering::Relaxed), 0)
            } else {
                let found = left.load(Ordering::Relaxed);
                (found, found.max(0))
            };
            let book = &mut self.units[unit.index()];
            let spent = book.level - found;
            book.fresh.add(now, spent);
            book.used += spent.max(0);
            self.spent_last_tick |= spent > 0;
            // Below zero where bytes were read that no lease covered.
            book.level = if give_back { 0 } else { found };
            keep
        })
    }

    /// Ends the leases; what was spent of them will be told.
    pub(super) fn give_up(&mut self, account: &Account, now: i64) {
        self.look(account, now, true);
    }

    pub(super) fn refund(&mut self, charged_at: i64, amount: i64) {
        join(&mut self.refunds, Spend::new(charged_at, amount));
    }

    /// Whether there is nothing left to look after.
    pub(super) fn is_done(&self) -> bool {
        let told = |unit: &UnitBook| {
            unit.fresh.is_empty() && unit.owed.is_empty() && unit.level <= 0 && unit.pace < 0.01 && unit.used == 0
        };
        self.units.iter().all(told) && self.refunds.is_empty() && self.refunds_owed.is_empty() && !self.on_record
    }

    /// The question for a charge that no lease covers, not yet [told](Self::tell). It gives the leases back, so that its own do not stand in its way.
    pub(super) fn question(&mut self, account: &Account, need: [i64; 2], moment: &Moment) -> Ask {
        self.calls += 1;
        self.look(account, moment.now, true);
        let holds = Unit::ALL.map(|unit| {
            let others = account.waiting[unit.index()].load(Ordering::Relaxed) - need[unit.index()];
            let most = account.plan.load().most_leased(unit, moment.instances);
            Hold { keep: 0, wish: (self.target(unit) + others.max(0)).min(most) }
        });
        Self::ask(account, holds, need, moment)
    }

    /// The last question: everything is told and nothing kept.
    pub(super) fn farewell(&mut self, account: &Account, moment: &Moment) -> Ask {
        self.look(account, moment.now, true);
        self.tell(Self::ask(account, [Hold::default(); 2], [0; 2], moment), moment)
    }

    /// What the tick has to say about an account, if anything.
    pub(super) fn tick(&mut self, account: &Account, moment: &Moment, alone: bool) -> Option<Ask> {
        self.spent_last_tick = false;
        let lost =
            !alone && self.from_alone || alone && !self.from_alone && moment.now - self.told_at > HOLD_TTL - TELL_EVERY;
        let mut keep = self.look(account, moment.now, lost);
        self.quiet = if self.spent_last_tick || self.calls > 0 { 0 } else { self.quiet.saturating_add(1) };
        for unit in &mut self.units {
            unit.pace = if unit.pace < 0.01 && unit.used == 0 {
                0.0
            } else {
                unit.pace.mul_add(0.8, 0.2 * as_float(unit.used))
            };
        }
        let blocked = account.block.load().as_ref().is_some_and(|block| moment.now < block.until);
        let holds = if self.quiet >= QUIET_TICKS {
            keep = self.look(account, moment.now, true);
            [Hold::default(); 2]
        } else {
            self.refill(account, keep, blocked, moment)
        };
        for unit in &mut self.units {
            unit.used = 0;
        }
        self.calls = 0;
        if alone {
            return None;
        }
        let telling = self.units.iter().any(|unit| !unit.fresh.is_empty() || !unit.owed.is_empty());
        let returning = self.on_record && keep == [0; 2];
        let due = holds.iter().any(|hold| hold.wish > 0)
            || returning
            || self.from_alone
            || !self.refunds.is_empty()
            || !self.refunds_owed.is_empty()
            || (telling && self.quiet >= QUIET_TICKS)
            || ((telling || self.on_record) && moment.now - self.told_at >= TELL_EVERY);
        due.then(|| self.tell(Self::ask(account, holds, [0; 2], moment), moment))
    }

    /// What a renewal would add, once a lease runs low: to all leases, so that one command renews them.
    fn refill(&self, account: &Account, keep: [i64; 2], blocked: bool, moment: &Moment) -> [Hold; 2] {
        let plan = account.plan.load();
        let leases = Unit::ALL.map(|unit| {
            let target = self.target(unit).min(plan.most_leased(unit, moment.instances));
            let low = as_int(LOW_TICKS * self.units[unit.index()].pace).max(target / LOW_PART);
            (keep[unit.index()], target, low)
        });
        let due = !blocked && leases.iter().any(|&(keep, target, low)| keep < target && keep <= low);
        leases.map(|(keep, target, _)| Hold { keep, wish: if due { (target - keep).max(0) } else { 0 } })
    }

    /// How much a lease should hold by recent use.
    fn target(&self, unit: Unit) -> i64 {
        let lively = self.units[0].pace >= LIVELY || self.calls >= 2 || self.spent_last_tick;
        let book = &self.units[unit.index()];
        if lively { as_int(LASTS_TICKS * book.pace).max(FIRST_TICKS * book.used) } else { 0 }
    }

    fn ask(account: &Account, holds: [Hold; 2], need: [i64; 2], moment: &Moment) -> Ask {
        Ask {
            instance: Arc::clone(&moment.instance),
            number: 0,
            unheard: 0,
            sharers: moment.instances,
            hold_ttl: HOLD_TTL,
            rules: Arc::clone(&account.plan.load().rules),
            holds,
            spent: [Vec::new(), Vec::new()],
            refunds: Vec::new(),
            need,
        }
    }

    /// The question as it goes to Redis: numbered, and with all that has to be told.
    pub(super) fn tell(&mut self, ask: Ask, moment: &Moment) -> Ask {
        let now = moment.now;
        let number = now.max(self.number + 1);
        let unheard = self.unheard;
        self.number = number;
        // Until an answer says otherwise: a lease nobody heard of has to go back too.
        self.on_record = true;
        if unheard == 0 {
            self.unheard = number;
        }
        let spent = |unit: &mut UnitBook| unit.owed.told(number, now).chain(unit.fresh.told(number, now)).collect();
        let spent = self.units.each_mut().map(spent);
        // Redis may have forgotten by then that it knows them: better lost than given back twice.
        let known = |refund: &&mut Spend| refund.first.is_none_or(|first| now - first < HOLD_TTL - TELL_EVERY);
        let refunds = self.refunds_owed.iter_mut().chain(&mut self.refunds).filter(known);
        let refunds = refunds.map(|refund| refund.told(number, now)).collect();
        Ask { number, unheard, spent, refunds, ..ask }
    }

    /// Takes in an answer of Redis to a question asked at `now`.
    pub(super) fn settle(&mut self, account: &Account, ask: &Ask, answer: Answer, moment: &Moment) -> Settled {
        for unit in &mut self.units {
            unit.fresh.clear();
            unit.owed.clear();
        }
        if !ask.refunds.is_empty() {
            account.block.store(None);
        }
        self.refunds.clear();
        self.refunds_owed.clear();
        self.unheard = 0;
        self.alone = None;
        self.from_alone = false;
        self.told_at = moment.now;
        self.on_record = [0, 1].iter().any(|&unit| ask.holds[unit].keep + answer.lease[unit] > 0);
        self.take_in(account, ask, answer, moment)
    }

    /// Decides a question by the own share: the same rules over this instance's part of each limit.
    pub(super) fn decide_alone(&mut self, account: &Account, mut ask: Ask, moment: &Moment) -> Settled {
        let plan = account.plan.load();
        ask.rules = plan.share(moment.instances);
        (ask.sharers, ask.number, ask.unheard) = (1, 0, 0);
        ask.spent = [0, 1].map(|unit| self.units[unit].fresh.untold(moment.now).collect());
        ask.refunds = self.refunds.iter().map(|refund| refund.clone().told(0, moment.now)).collect();
        let state = self.alone.get_or_insert_with(|| seeded(account, &ask, moment));
        let answer = state.apply(&ask, moment.now);
        for (unit, granted) in self.units.iter_mut().zip(answer.granted) {
            unit.owed.append(&mut unit.fresh);
            unit.owed.add(moment.now, granted);
        }
        for refund in self.refunds.drain(..) {
            join(&mut self.refunds_owed, refund);
        }
        self.from_alone = true;
        self.take_in(account, &ask, answer, moment)
    }

    fn take_in(&mut self, account: &Account, ask: &Ask, answer: Answer, moment: &Moment) -> Settled {
        for unit in Unit::ALL.map(Unit::index) {
            if answer.lease[unit] > 0 {
                account.left[unit].fetch_add(answer.lease[unit], Ordering::Relaxed);
                self.units[unit].level += answer.lease[unit];
            }
            self.units[unit].used += answer.granted[unit];
        }
        let scale = if self.from_alone { moment.instances } else { 1 };
        let plan = account.plan.load();
        let refusal = answer.denial.and_then(|denial| {
            let rule = plan.rules.get(denial.rule)?;
            let used = answer.used.get(denial.rule)?;
            let used = Used { used: used.used.saturating_mul(scale), ..*used };
            let rest = [ask.need[0] - answer.granted[0], ask.need[1] - answer.granted[1]];
            let refusal = Refusal::by(rule, used, rest[rule.unit.index()], denial);
            // Until the oldest charge leaves nothing can be charged anywhere but from leases; those may come back sooner.
            let until = moment.now.saturating_add(denial.earliest.min(i64::from(QUIET_TICKS) * moment.tick));
            let need = if rule.unit == Unit::Bytes { ask.need } else { [rest[0], ask.need[1]] };
            let retry_at = moment.now.saturating_add(denial.wait);
            account.block.store(Some(Arc::new(Block { unit: rule.unit, need, until, retry_at, refusal })));
            Some(refusal)
        });
        metrics::shadowed(ask, &answer);
        account.known.store(Arc::new(Known {
            rules: Arc::clone(&plan.rules),
            used: answer.used,
            at: moment.now,
            scale,
        }));
        Settled { granted: answer.granted, refusal }
    }
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) granted: [i64; 2],
    pub(super) refusal: Option<Refusal>,
}

/// The own share begins with this instance's part of the use last known.
fn seeded(account: &Account, ask: &Ask, moment: &Moment) -> State {
    let mut state = State::default();
    let known = account.known.load();
    for (rule, used) in known.rules.iter().zip(&known.used) {
        let Some(share) = ask.rules.iter().find(|share| share.policy == rule.policy) else { continue };
        let part = (used.used + moment.instances - 1) / moment.instances;
        let seed = Dated { age: (moment.now - known.at).max(0), amount: part.min(share.limit) };
        state.charge(share, moment.now, seed);
    }
    state
}

/// Refunds are dated no later than their charge; many become one, at the earliest, and known as soon as one of them is.
fn join(refunds: &mut Vec<Spend>, refund: Spend) {
    let Spend { at, amount, first } = refund;
    if amount <= 0 {
        return;
    }
    let full = refunds.len() >= 64;
    match refunds.last_mut() {
        Some(last) if full || (last.at == at && last.first == first) => {
            *last = Spend { at: last.at.min(at), amount: last.amount + amount, first: last.first.or(first) };
        }
        _ => refunds.push(refund),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a pace is an estimate")]
fn as_float(units: i64) -> f64 {
    units as f64
}

#[allow(clippy::cast_possible_truncation, reason = "casts from floats saturate, and a target is capped")]
fn as_int(units: f64) -> i64 {
    units as i64
}
