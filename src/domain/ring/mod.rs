//! The sliding window that all instances charge against: what is asked, what is answered, and the arithmetic. Invariant:
//! [`State::apply`] and `cache/limiter/charge.lua` give the same answer to the same question at the same time; the first serves
//! while Redis is away and in simulations, the second is the shared truth.
//!
//! How it decides, and the bounds that follow, are in `docs/fairness.md`.

mod span;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::outcome::Policy;

pub use span::{Span, account_offset, month_span};
pub use state::State;

/// What a policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Events; a batch is charged one by one while they fit.
    Events,
    /// Body bytes; a body is charged whole or not at all.
    Bytes,
}

impl Unit {
    /// Every unit, in the order of arrays indexed by it.
    pub const ALL: [Self; 2] = [Self::Events, Self::Bytes];

    /// Place in arrays of one value a unit.
    pub fn index(self) -> usize {
        self as usize
    }

    /// What the policy counts; `None` for what is no window.
    pub fn of(policy: Policy) -> Option<Self> {
        match policy {
            Policy::Sustained | Policy::Burst | Policy::Monthly => Some(Self::Events),
            Policy::Bytes => Some(Self::Bytes),
            Policy::Concurrent => None,
        }
    }
}

/// One policy as the window sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Which policy.
    pub policy: Policy,
    /// What it counts.
    pub unit: Unit,
    /// Its window.
    pub span: Span,
    /// Most units in the window.
    pub limit: i64,
    /// Most units saved up from unused allowance.
    pub bank: i64,
    /// Whether it refuses, or only counts.
    pub enforced: bool,
}

/// An amount and how long ago it was, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dated {
    /// Age in microseconds.
    pub age: i64,
    /// Units.
    pub amount: i64,
}

/// What a question tells of the past. It is told until an answer was heard, and counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// What, and when.
    pub dated: Dated,
    /// Number of the question that told it first.
    pub first: i64,
}

/// An instance's lease of one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hold {
    /// What it still holds: replaces what is on record, so a lost answer mends itself.
    pub keep: i64,
    /// What it would like on top, after the charge.
    pub wish: i64,
}

/// One question about one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Who asks.
    pub instance: Arc<str>,
    /// Greater than that of any earlier question of this instance about this account; one that comes after a later one changes
    /// nothing. 0 where none is lost or late.
    pub number: i64,
    /// Number of the first question since the last answer that was heard; 0 when that was the one before.
    pub unheard: i64,
    /// How many share the headroom.
    pub sharers: i64,
    /// Microseconds without a word after which an instance's lease counts as spent.
    pub hold_ttl: i64,
    /// The policies in force; those that are off are absent.
    pub rules: Arc<[Rule]>,
    /// Leases by unit.
    pub holds: [Hold; 2],
    /// What was spent from leases since the last answer, by unit.
    pub spent: [Vec<Told>; 2],
    /// Events whose publish definitely failed, dated no later than their charge.
    pub refunds: Vec<Told>,
    /// What to charge now, by unit; zeros only renew. Bytes come first: without them no event is granted.
    pub need: [i64; 2],
}

/// Use of one rule after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Charged in the window, all leases included.
    pub used: i64,
    /// The limit plus what is saved up.
    pub capacity: i64,
}

/// What stands in the way of the rest of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// Index of the rule that refused; of several, the one that clears last.
    pub rule: usize,
    /// Microseconds until the refused events and all the bytes fit (again) when the account sends nothing meanwhile.
    pub wait: i64,
    /// Microseconds before which no charge leaves the full windows: until then more fits only where leases are returned.
    pub earliest: i64,
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The time it was decided at, in microseconds of the window's clock.
    pub now: i64,
    /// Charged of what was needed, by unit.
    pub granted: [i64; 2],
    /// Added to the leases, by unit.
    pub lease: [i64; 2],
    /// By rule.
    pub used: Vec<Used>,
    /// When less was granted than needed.
    pub denial: Option<Denial>,
}
