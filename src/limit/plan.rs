//! A quota as the window's rules for one account. Invariant: two instances with the same quota make the same rules, edges
//! included.

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::id::AccountId;
use crate::domain::outcome::Policy;
use crate::domain::quota::{Mode, Quota};
use crate::domain::ring::{Rule, Span, Unit, account_offset, month_span};
use crate::domain::time::{SECOND, Timestamp};

use super::headers::policy_field;

/// Most units saved up, so that the script's arithmetic stays exact.
const MAX_BANK: i64 = 10_000_000_000_000;

/// All leases of an account together hold at most this part of its smallest limit.
const LEASED_PART: i64 = 4;

/// What one account is held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The quota it was made from.
    pub(super) quota: Quota,
    /// Rules of the policies that are not off.
    pub(super) rules: Arc<[Rule]>,
    /// The quota as `RateLimit-Policy`.
    pub(super) announced: Bytes,
    /// First instant at which it has to be made anew (an override begins or ends, a month ends).
    pub(super) until: Timestamp,
    /// Revision of the quotas it was made from.
    pub(super) revision: u64,
}

impl Plan {
    pub(super) fn new(account: &AccountId, quota: Quota, until: Timestamp, now: Timestamp) -> Self {
        let spread = account_offset(account.as_str());
        let sliding = |buckets, width| Span::Sliding { buckets, width, offset: spread % width };
        let minute = sliding(60, SECOND);
        let month = month_span(now);
        let spans = [
            (Policy::Sustained, minute),
            (Policy::Burst, sliding(10, SECOND / 10)),
            (Policy::Bytes, minute),
            (Policy::Monthly, month),
        ];
        let rule = |(policy, span)| {
            let limit = quota.limit_of(policy).filter(|limit| limit.mode != Mode::Off)?;
            let unit = Unit::of(policy)?;
            let bank = if policy == Policy::Sustained { limit.limit.saturating_mul(quota.bank_minutes) } else { 0 };
            let enforced = limit.mode == Mode::Enforce;
            Some(Rule { policy, unit, span, limit: limit.limit, bank: bank.min(MAX_BANK), enforced })
        };
        let rules: Arc<[Rule]> = spans.into_iter().filter_map(rule).collect();
        let month_ends = match month {
            Span::Calendar { end, .. } => Timestamp::from_micros(end).unwrap_or(until),
            Span::Sliding { .. } => until,
        };
        let announced = policy_field(&quota).into();
        Self { quota, rules, announced, until: until.min(month_ends), revision: 0 }
    }

    /// The enforced rule with limit 0 that refuses without asking anybody.
    pub(super) fn blocked(&self, need: [i64; 2]) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.enforced && rule.limit == 0 && need[rule.unit.index()] > 0)
    }

    /// Whether some policy counts what is needed.
    pub(super) fn counts(&self, need: [i64; 2]) -> bool {
        self.rules.iter().any(|rule| need[rule.unit.index()] > 0)
    }

    /// Most units one of `instances` may hold in advance.
    pub(super) fn most_leased(&self, unit: Unit, instances: i64) -> i64 {
        let limits = self.rules.iter().filter(|rule| rule.unit == unit).map(|rule| rule.limit);
        limits.min().unwrap_or(0) / (LEASED_PART * instances)
    }

    /// The rules of one instance that has to decide alone: its share of each limit, at least 1, but 0 stays 0.
    pub(super) fn share(&self, instances: i64) -> Arc<[Rule]> {
        let share = |rule: &Rule| Rule {
            limit: if rule.limit == 0 { 0 } else { (rule.limit / instances).max(1) },
            bank: rule.bank / instances,
            ..*rule
        };
        self.rules.iter().map(share).collect()
    }
}

/// Length of a rule's window in whole seconds; a month counts as its longest.
pub(super) fn window_seconds(policy: Policy) -> i64 {
    match policy {
        Policy::Sustained | Policy::Bytes => 60,
        Policy::Burst => 1,
        Policy::Concurrent => 0,
        Policy::Monthly => 31 * 86_400,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quota::Limit;

    #[test]
    fn off_policies_have_no_rule_and_leases_stay_a_part_of_the_smallest_limit() {
        let account = AccountId::new("a").expect("id");
        let now = Timestamp::from_unix_seconds(1_700_000_000).expect("time");
        let quota = Quota {
            sustained: Limit::enforced(60_000),
            burst: Limit::enforced(4_000),
            bytes: Limit { limit: 9, mode: Mode::Off },
            concurrent: Limit::enforced(64),
            monthly: Some(Limit::enforced(0)),
            bank_minutes: 2,
            weight: 1,
        };
        let plan = Plan::new(&account, quota, now.saturating_add_micros(i64::MAX), now);
        let policies: Vec<_> = plan.rules.iter().map(|rule| (rule.policy, rule.limit, rule.bank)).collect();
        assert_eq!(
            policies,
            [(Policy::Sustained, 60_000, 120_000), (Policy::Burst, 4_000, 0), (Policy::Monthly, 0, 0)]
        );
        assert_eq!(plan.until.to_string(), "2023-12-01T00:00:00Z");
        assert_eq!(plan.blocked([1, 0]).map(|rule| rule.policy), Some(Policy::Monthly));
        assert!(plan.blocked([0, 5]).is_none() && !plan.counts([0, 5]));
        assert_eq!(plan.most_leased(Unit::Events, 10), 0);
        assert_eq!(plan.share(100_000).iter().map(|rule| rule.limit).collect::<Vec<_>>(), [1, 1, 0]);
    }
}
