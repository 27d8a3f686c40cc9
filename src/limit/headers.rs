//! Limits as header fields (draft-ietf-httpapi-ratelimit-headers-11). Invariant: only what would refuse is announced, and `t` of
//! a refusal is its `Retry-After`.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::domain::outcome::Policy;
use crate::domain::quota::{Mode, Quota};

use super::plan::window_seconds;
use super::refusal::{PolicyView, Refusal};

/// What every answer says about limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// `RateLimit-Policy`.
    pub policy: Bytes,
    /// `RateLimit`.
    pub limit: Bytes,
}

/// `RateLimit-Policy`: `"sustained";q=60000;w=60, …`. A unit of the event policies is an event, so they carry no `qu`.
pub(super) fn policy_field(quota: &Quota) -> String {
    let mut text = String::with_capacity(160);
    for policy in Policy::ALL {
        let Some(limit) = quota.limit_of(policy).filter(|limit| limit.mode == Mode::Enforce) else { continue };
        if !text.is_empty() {
            text.push_str(", ");
        }
        let unit = match policy {
            Policy::Bytes => ";qu=\"content-bytes\"",
            Policy::Concurrent => ";qu=\"concurrent-requests\"",
            Policy::Sustained | Policy::Burst | Policy::Monthly => "",
        };
        // Writing to a String cannot fail.
        write!(text, "\"{}\";q={}{unit}", policy.name(), limit.limit).unwrap_or_default();
        let window = window_seconds(policy);
        if window > 0 {
            write!(text, ";w={window}").unwrap_or_default();
        }
    }
    text
}

/// `RateLimit` of the policy with the least room: `"sustained";r=41200;t=60`. `r` may safely be spent over the next `t` seconds.
pub(super) fn limit_field(tightest: &PolicyView) -> String {
    let (name, remaining, seconds) = (tightest.policy.name(), tightest.remaining, tightest.reset_seconds);
    if seconds > 0 { format!("\"{name}\";r={remaining};t={seconds}") } else { format!("\"{name}\";r={remaining}") }
}

/// `RateLimit` of the policy that refused; `t` is `Retry-After`.
pub(super) fn refused_field(refusal: &Refusal) -> String {
    format!("\"{}\";r=0;t={}", refusal.policy.name(), refusal.retry_after_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quota::Limit;

    #[test]
    fn fields_follow_the_draft() {
        let quota = Quota {
            sustained: Limit::enforced(60_000),
            burst: Limit::enforced(4_000),
            bytes: Limit::enforced(52_428_800),
            concurrent: Limit::enforced(64),
            monthly: Some(Limit { limit: 9, mode: Mode::Shadow }),
            bank_minutes: 0,
            weight: 1,
        };
        assert_eq!(
            policy_field(&quota),
            "\"sustained\";q=60000;w=60, \"burst\";q=4000;w=1, \"bytes\";q=52428800;qu=\"content-bytes\";w=60, \
             \"concurrent\";q=64;qu=\"concurrent-requests\""
        );
        let (policy, mode) = (Policy::Sustained, Mode::Enforce);
        let view = PolicyView {
            policy,
            limit: 60_000,
            window_seconds: 60,
            used: 18_800,
            remaining: 41_200,
            reset_seconds: 60,
            mode,
        };
        assert_eq!(limit_field(&view), "\"sustained\";r=41200;t=60");
        assert_eq!(limit_field(&PolicyView { reset_seconds: 0, ..view }), "\"sustained\";r=41200");
        let refusal = Refusal { policy: Policy::Burst, limit: 4_000, observed: 4_100, retry_after_seconds: 2 };
        assert_eq!(refused_field(&refusal), "\"burst\";r=0;t=2");
    }
}
