//! One account on this instance: its leases, what stands in its way, and what is known of its use. Invariant: a unit is spent from
//! a lease at most once, and what is spent was debited before, in Redis or in this instance's own share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::domain::id::AccountId;
use crate::domain::outcome::Policy;
use crate::domain::quota::{Limit, Mode};
use crate::domain::ring::{Rule, Span, Unit, Used};
use crate::domain::time::{SECOND, Timestamp};

use super::book::Book;
use super::inflight::Slots;
use super::plan::{Plan, window_seconds};
use super::quotas::Quotas;
use super::refusal::{LimitsView, PolicyView, Refusal, whole_seconds};
use super::usage::Usage;

/// The lease of a unit that no policy counts: never used up in practice.
const UNCOUNTED: i64 = 1 << 60;

/// One account's state. Everything but `book` is read without waiting.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) id: AccountId,
    pub(super) plan: ArcSwap<Plan>,
    /// Unspent units of the leases.
    pub(super) left: [AtomicI64; 2],
    /// Units that requests wait for right now.
    pub(super) waiting: [AtomicI64; 2],
    pub(super) block: ArcSwapOption<Block>,
    pub(super) known: ArcSwap<Known>,
    /// Held while a question is under way: one at a time an account.
    pub(super) book: tokio::sync::Mutex<Book>,
    /// Whether the tick looks after it.
    pub(super) listed: AtomicBool,
    pub(super) slots: Slots,
    pub(super) usage: Usage,
    /// When it was last asked for.
    pub(super) seen: AtomicI64,
}

/// A refusal that holds for a while without asking again.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// What was refused.
    pub(super) unit: Unit,
    /// The largest charge it speaks of.
    pub(super) need: [i64; 2],
    /// Until when nothing changes.
    pub(super) until: i64,
    /// When the refused part fits.
    pub(super) retry_at: i64,
    pub(super) refusal: Refusal,
}

/// What the last answer said.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) rules: Arc<[Rule]>,
    pub(super) used: Vec<Used>,
    pub(super) at: i64,
    /// How many times this instance's share the answer's numbers are to be taken.
    pub(super) scale: i64,
}

impl Account {
    pub(super) fn new(id: AccountId, plan: Plan, now: i64) -> Self {
        let known = Known { rules: Arc::clone(&plan.rules), used: Vec::new(), at: now, scale: 1 };
        let left = Unit::ALL.map(|unit| AtomicI64::new(starting_lease(&plan, unit)));
        Self {
            id,
            plan: ArcSwap::from_pointee(plan),
            left,
            waiting: [AtomicI64::new(0), AtomicI64::new(0)],
            block: ArcSwapOption::empty(),
            known: ArcSwap::from_pointee(known),
            book: tokio::sync::Mutex::new(Book::default()),
            listed: AtomicBool::new(false),
            slots: Slots::default(),
            usage: Usage::default(),
            seen: AtomicI64::new(now),
        }
    }

    /// Spends from the leases when they cover all of it.
    pub(super) fn take(&self, need: [i64; 2]) -> bool {
        if need[1] > 0 && !spend(&self.left[1], need[1]) {
            return false;
        }
        if need[0] == 0 || spend(&self.left[0], need[0]) {
            return true;
        }
        if need[1] > 0 {
            self.left[1].fetch_add(need[1], Ordering::Relaxed);
        }
        false
    }

    /// Spends whatever the lease holds, below zero too; whoever looks next tells it.
    pub(super) fn debit(&self, unit: Unit, amount: i64) {
        self.left[unit.index()].fetch_sub(amount, Ordering::Relaxed);
    }

    /// A refusal that needs no question.
    pub(super) fn refused(&self, need: [i64; 2], now: i64) -> Option<Refusal> {
        if let Some(rule) = self.plan.load().blocked(need) {
            return Some(Refusal::blocked(rule, need[rule.unit.index()]));
        }
        let block = self.block.load();
        let block = block.as_ref().filter(|block| now < block.until)?;
        let within = need[0] <= block.need[0] && need[1] <= block.need[1];
        let hit = match block.unit {
            Unit::Events => need[0] > 0,
            Unit::Bytes => need[1] == block.need[1],
        };
        (within && hit).then(|| {
            let retry_after_seconds = whole_seconds(block.retry_at - now);
            Refusal { retry_after_seconds, ..block.refusal }
        })
    }

    /// A refusal that is certain before the body is read: any event, or a body of at least `declared` bytes, would meet it.
    pub(super) fn refused_unread(&self, declared: i64, now: i64) -> Option<Refusal> {
        if let Some(refusal) = self.refused([1, 0], now).or_else(|| self.refused([0, 1], now)) {
            return Some(refusal);
        }
        let block = self.block.load();
        let block = block.as_ref().filter(|block| now < block.until && block.unit == Unit::Bytes)?;
        (declared >= block.need[1]).then(|| {
            let retry_after_seconds = whole_seconds(block.retry_at - now);
            Refusal { retry_after_seconds, ..block.refusal }
        })
    }

    /// Whether the plan has to be made anew.
    pub(super) fn is_stale(&self, quotas: &Quotas, now: i64) -> bool {
        let plan = self.plan.load();
        plan.revision != quotas.revision() || plan.until.micros() <= now
    }

    /// Makes the plan anew where needed. A changed quota voids leases and refusals of the old one.
    pub(super) fn renew_plan(&self, book: &mut Book, quotas: &Quotas, now: i64) {
        if !self.is_stale(quotas, now) {
            return;
        }
        let time = Timestamp::from_micros(now).unwrap_or_else(|_| Timestamp::now());
        let plan = quotas.plan(&self.id, time);
        let old = self.plan.swap(Arc::new(plan.clone()));
        if old.rules == plan.rules {
            return;
        }
        book.give_up(self, now);
        for unit in Unit::ALL {
            self.left[unit.index()].store(starting_lease(&plan, unit), Ordering::Relaxed);
        }
        self.block.store(None);
        self.known.store(Arc::new(Known { rules: plan.rules, used: Vec::new(), at: now, scale: 1 }));
    }

    /// Whether a policy counts the unit.
    pub(super) fn counts(&self, unit: Unit) -> bool {
        self.plan.load().rules.iter().any(|rule| rule.unit == unit)
    }

    pub(super) fn view(&self, in_flight: i64, now: i64) -> LimitsView {
        let (plan, known) = (self.plan.load(), self.known.load());
        let windows = plan.rules.iter().enumerate();
        let mut policies: Vec<_> = windows.map(|rule| self.policy_view(&plan, rule, &known, now)).collect();
        let Limit { limit, mode } = plan.quota.concurrent;
        if mode != Mode::Off {
            let (policy, remaining) = (Policy::Concurrent, (limit - in_flight).max(0));
            policies.push(PolicyView {
                policy,
                limit,
                window_seconds: 0,
                used: in_flight,
                remaining,
                reset_seconds: 0,
                mode,
            });
        }
        policies.sort_by_key(|view| view.policy);
        LimitsView { policies }
    }

    /// The enforced window with the least part of its limit left, among the policies that are `asked` for.
    pub(super) fn tightest(&self, now: i64, asked: impl Fn(Policy) -> bool) -> Option<PolicyView> {
        let (plan, known) = (self.plan.load(), self.known.load());
        let enforced = plan.rules.iter().enumerate().filter(|(_, rule)| rule.enforced && asked(rule.policy));
        let views = enforced.map(|rule| self.policy_view(&plan, rule, &known, now));
        // By cross-multiplication: limits and what remains of them fit 40 bits.
        let part = |view: &PolicyView, other: &PolicyView| i128::from(view.remaining) * i128::from(other.limit.max(1));
        views.min_by(|left, right| part(left, right).cmp(&part(right, left)))
    }

    fn policy_view(&self, plan: &Plan, (index, rule): (usize, &Rule), known: &Known, now: i64) -> PolicyView {
        let window = window_seconds(rule.policy);
        let fresh = now - known.at <= window * SECOND && Arc::ptr_eq(&known.rules, &plan.rules);
        let Used { used, capacity } = known
            .used
            .get(index)
            .copied()
            .filter(|_| fresh)
            .unwrap_or(Used { used: 0, capacity: rule.limit / known.scale });
        // The answer counted this instance's lease as used; what is unspent of it is not.
        let unspent = if fresh { self.left[rule.unit.index()].load(Ordering::Relaxed).max(0) } else { 0 };
        let used = ((used - unspent).max(0)).saturating_mul(known.scale);
        let limit = capacity.saturating_mul(known.scale).max(rule.limit);
        let reset = match rule.span {
            Span::Sliding { .. } => window,
            Span::Calendar { end, .. } => whole_seconds(end - now),
        };
        let mode = plan.quota.limit_of(rule.policy).map_or(Mode::Off, |limit| limit.mode);
        PolicyView {
            policy: rule.policy,
            limit,
            window_seconds: window,
            used,
            remaining: (limit - used).max(0),
            reset_seconds: if used > 0 { reset } else { 0 },
            mode,
        }
    }
}

fn starting_lease(plan: &Plan, unit: Unit) -> i64 {
    if plan.rules.iter().any(|rule| rule.unit == unit) { 0 } else { UNCOUNTED }
}

fn spend(left: &AtomicI64, amount: i64) -> bool {
    let spent = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| (left >= amount).then(|| left - amount));
    spent.is_ok()
}
