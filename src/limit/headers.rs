//! Limits as header fields (draft-ietf-httpapi-ratelimit-headers-11). Invariant: only what would refuse is announced, and
//! `Retry-After` is never earlier than `t`.

use std::fmt::Write as _;

use crate::domain::outcome::Policy;
use crate::domain::quota::Mode;

use super::refusal::{LimitsView, PolicyView, Refusal};

fn enforced(view: &LimitsView) -> impl Iterator<Item = &PolicyView> {
    view.policies.iter().filter(|policy| policy.mode == Mode::Enforce)
}

/// `RateLimit-Policy`: `"sustained";q=60000;w=60, …`. A unit of the event policies is an event, so they carry no `qu`.
pub fn policy_field(view: &LimitsView) -> String {
    join(enforced(view), |text, policy| {
        let unit = match policy.policy {
            Policy::Bytes => ";qu=\"content-bytes\"",
            Policy::Concurrent => ";qu=\"concurrent-requests\"",
            Policy::Sustained | Policy::Burst | Policy::Monthly => "",
        };
        let written = write!(text, "\"{}\";q={}{unit}", policy.policy.name(), policy.limit);
        let window = policy.window_seconds;
        written.and_then(|()| if window > 0 { write!(text, ";w={window}") } else { Ok(()) })
    })
}

/// `RateLimit`: `"sustained";r=41200;t=60, …`. `t` is the time over which `r` may be spent safely: the whole window, or, for the
/// policy that refused, the time until it has room.
pub fn limit_field(view: &LimitsView, refusal: Option<&Refusal>) -> String {
    join(enforced(view), |text, policy| {
        let refused = refusal.filter(|refusal| refusal.policy == policy.policy);
        let (remaining, seconds) = match refused {
            Some(refusal) => (0, refusal.retry_after_seconds),
            None => (policy.remaining, policy.reset_seconds),
        };
        let written = write!(text, "\"{}\";r={remaining}", policy.policy.name());
        written.and_then(|()| if seconds > 0 { write!(text, ";t={seconds}") } else { Ok(()) })
    })
}

/// `Retry-After` of a refusal, in whole seconds.
pub fn retry_after(refusal: &Refusal) -> String {
    refusal.retry_after_seconds.max(1).to_string()
}

fn join<'a>(
    policies: impl Iterator<Item = &'a PolicyView>,
    write: impl Fn(&mut String, &PolicyView) -> std::fmt::Result,
) -> String {
    let mut text = String::with_capacity(128);
    for policy in policies {
        if !text.is_empty() {
            text.push_str(", ");
        }
        // Writing to a String cannot fail.
        if write(&mut text, policy).is_err() {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(policy: Policy, limit: i64, window_seconds: i64, used: i64, mode: Mode) -> PolicyView {
        let reset_seconds = if used > 0 { window_seconds } else { 0 };
        PolicyView { policy, limit, window_seconds, used, remaining: limit - used, reset_seconds, mode }
    }

    #[test]
    fn fields_follow_the_draft() {
        let policies = vec![
            view(Policy::Sustained, 60_000, 60, 18_800, Mode::Enforce),
            view(Policy::Burst, 4_000, 1, 0, Mode::Enforce),
            view(Policy::Bytes, 52_428_800, 60, 1, Mode::Enforce),
            view(Policy::Concurrent, 64, 0, 2, Mode::Enforce),
            view(Policy::Monthly, 9, 60, 0, Mode::Shadow),
        ];
        let view = LimitsView { policies };
        assert_eq!(
            policy_field(&view),
            "\"sustained\";q=60000;w=60, \"burst\";q=4000;w=1, \"bytes\";q=52428800;qu=\"content-bytes\";w=60, \
             \"concurrent\";q=64;qu=\"concurrent-requests\""
        );
        assert_eq!(
            limit_field(&view, None),
            "\"sustained\";r=41200;t=60, \"burst\";r=4000, \"bytes\";r=52428799;t=60, \"concurrent\";r=62"
        );
        let refusal = Refusal { policy: Policy::Burst, limit: 4_000, observed: 4_100, retry_after_seconds: 2 };
        assert!(limit_field(&view, Some(&refusal)).contains("\"burst\";r=0;t=2"));
        assert_eq!(retry_after(&refusal), "2");
    }
}
