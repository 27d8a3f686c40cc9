//! What an account is told about its limits. Invariant: a refusal names the policy, how far over, and a time that is enough.

use crate::domain::outcome::Policy;
use crate::domain::quota::Mode;
use crate::domain::ring::{Denial, Rule, Used};
use crate::domain::time::SECOND;

use super::plan::window_seconds;

/// A policy in the way of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Which policy.
    pub policy: Policy,
    /// Most units in its window.
    pub limit: i64,
    /// Units in the window had the request been let in.
    pub observed: i64,
    /// Whole seconds after which the refused part fits when the account sends nothing meanwhile.
    pub retry_after_seconds: i64,
}

impl Refusal {
    /// 402 when a long window is spent and money is the way out, else 429.
    pub fn status(&self) -> u16 {
        if self.policy == Policy::Monthly { 402 } else { 429 }
    }

    pub(super) fn by(rule: &Rule, used: Used, need: i64, denial: Denial) -> Self {
        let observed = used.used.saturating_add(need);
        Self { policy: rule.policy, limit: rule.limit, observed, retry_after_seconds: whole_seconds(denial.wait) }
    }

    /// By a limit of 0: nothing helps but a new quota, so the wait is the window.
    pub(super) fn blocked(rule: &Rule, need: i64) -> Self {
        let retry_after_seconds = window_seconds(rule.policy).min(3_600);
        Self { policy: rule.policy, limit: 0, observed: need, retry_after_seconds }
    }

    /// By requests in flight: the next one to end makes room.
    pub(super) fn concurrent(limit: i64, observed: i64) -> Self {
        Self { policy: Policy::Concurrent, limit, observed, retry_after_seconds: 1 }
    }
}

/// Rounded up, at least one.
pub(super) fn whole_seconds(micros: i64) -> i64 {
    (micros.max(1) + SECOND - 1) / SECOND
}

/// One policy as an account sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyView {
    /// Which policy.
    pub policy: Policy,
    /// Most units in the window, savings included.
    pub limit: i64,
    /// Length of the window; 0 for what is no window.
    pub window_seconds: i64,
    /// Units used.
    pub used: i64,
    /// Units left.
    pub remaining: i64,
    /// Seconds after which all that is used has left the window; 0 when nothing is used.
    pub reset_seconds: i64,
    /// What happens above the limit.
    pub mode: Mode,
}

/// The limits of an account and its use of them now, as this instance knows them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LimitsView {
    /// In the order of [`Policy::ALL`]; policies that are off are absent.
    pub policies: Vec<PolicyView>,
}
