//! Refusals of limits, worded. Invariant: what the account did is 402 or 429 and says after how long more fits; what this instance
//! lacks is 503.

use poem::http::{HeaderValue, StatusCode, header};

use super::problem::{Code, Problem};
use crate::limit::{Closed, Full, Refusal};

impl Problem {
    /// A request that a policy refused before its body was read.
    pub(super) fn limited(refusal: &Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
        let policy = refusal.policy.name();
        let detail = format!("the account is over its policy {policy}: {} of {}", refusal.observed, refusal.limit);
        Self::new(Code::Outcome(status, policy), detail).with_limit(Some(refusal))
    }

    /// An address that asks too often.
    pub(super) fn address_limited(seconds: u64) -> Self {
        Self::new(
            Code::Outcome(StatusCode::TOO_MANY_REQUESTS, "address_limited"),
            "too many requests from this address",
        )
        .with(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// A request that was not let in.
    pub(super) fn closed(closed: &Closed) -> Self {
        match closed {
            Closed::Limited(refusal, _) => Self::limited(refusal),
            Closed::Busy => Self::full(&Full::All),
        }
    }

    /// A body there is no memory for.
    pub(super) fn full(full: &Full) -> Self {
        match full {
            Full::Own { .. } => Self::new(
                Code::Outcome(StatusCode::TOO_MANY_REQUESTS, "too_much_in_flight"),
                "the account has too many body bytes in flight",
            )
            .with(header::RETRY_AFTER, HeaderValue::from(1)),
            Full::All => Self::new(Code::Unavailable, "too much is in flight here; try again soon"),
        }
    }
}
