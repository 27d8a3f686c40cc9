//! What a caller is told, one item an event. Invariant: an item says whether sending the same event again is useful, and with
//! which id.

use std::sync::Arc;

use crate::domain::id::EventId;
use crate::domain::outcome::{Failure, Fault, Outcome, Policy, Rejection};
use crate::domain::receipt::Receipt;
use crate::kafka::{Placement, PublishError};
use crate::limit;

use super::check::Broken;

/// How one event ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The tenant's id where it is one, else ours; `None` when the event could not be read that far.
    pub event_id: Option<EventId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Where the log has it, for every accepted event that was published.
    pub receipt: Option<Receipt>,
    /// All broken rules of a rejected event.
    pub faults: Vec<Fault>,
    /// What to do, in a sentence fit for the public.
    pub detail: &'static str,
}

/// Why a whole body was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not JSON, or not an object.
    #[error("{detail}")]
    Malformed {
        /// What is wrong, in a sentence.
        detail: String,
        /// Where.
        faults: Vec<Fault>,
    },
    /// More events than a batch may have.
    #[error("a batch must have at most {max} events")]
    TooManyEvents {
        /// The most there may be.
        max: usize,
    },
    /// No `events` array, or an empty one.
    #[error("the body must hold at least one event, a JSON batch in its array events")]
    NoEvents,
    /// The account is over a policy; what comes after is not read.
    #[error("the account is over its policy {}", .0.policy.name())]
    Limited(limit::Refusal),
}

impl Refusal {
    pub(super) fn malformed(faults: Vec<Fault>) -> Self {
        let first = faults.first().map(|fault| (&*fault.pointer, &*fault.reason));
        let detail = match first {
            Some(("", reason)) => format!("the body {reason}"),
            Some((pointer, reason)) => format!("the body is not usable: {pointer} {reason}"),
            None => "the body is not usable".to_owned(),
        };
        Self::Malformed { detail, faults }
    }
}

impl Item {
    pub(super) fn rejected(broken: Broken) -> Self {
        let Broken { event_id, rejection, faults } = broken;
        Self {
            event_id,
            outcome: Outcome::Rejected(rejection),
            receipt: None,
            faults,
            detail: rejection_detail(rejection),
        }
    }

    /// An event whose id stood earlier in the request: it shares the fate of that one.
    pub(super) fn repeat(event_id: EventId, first: Outcome) -> Self {
        let (outcome, detail) = match first {
            Outcome::Failed(failure) => return Self::failed(Some(event_id), failure),
            Outcome::Accepted | Outcome::Duplicate => {
                (Outcome::Duplicate, "an event with this event_id stands earlier in the batch; that one counts")
            }
            other => (other, "an event with this event_id stands earlier in the batch and was not taken"),
        };
        Self { event_id: Some(event_id), outcome, receipt: None, faults: Vec::new(), detail }
    }

    /// An event that keeps the rules, when nobody wants it published.
    pub(super) fn sound(event_id: EventId) -> Self {
        let detail = "the event keeps the rules";
        Self { event_id: Some(event_id), outcome: Outcome::Accepted, receipt: None, faults: Vec::new(), detail }
    }

    pub(super) fn limited(event_id: EventId, policy: Policy) -> Self {
        let detail = "the account is over its limit; the event was not taken, send it again after Retry-After";
        let outcome = Outcome::Limited(policy);
        Self { event_id: Some(event_id), outcome, receipt: None, faults: Vec::new(), detail }
    }

    pub(super) fn queue_full(event_id: EventId) -> Self {
        Self::failed(Some(event_id), Failure::QueueFull)
    }

    /// Whether the log certainly does not have it, so that what it cost comes back.
    pub(super) fn is_certainly_not_taken(&self) -> bool {
        match self.outcome {
            Outcome::Rejected(_) => true,
            Outcome::Failed(failure) => failure != Failure::Unknown,
            _ => false,
        }
    }

    pub(super) fn unknown(event_id: Option<EventId>) -> Self {
        Self::failed(event_id, Failure::Unknown)
    }

    fn failed(event_id: Option<EventId>, failure: Failure) -> Self {
        let detail = match failure {
            Failure::LogAway => "the event log is away; the event was not taken, send it again",
            Failure::QueueFull => "too much is waiting for the event log; the event was not taken, send it again",
            Failure::Unknown => "the event may have been accepted; retry with the same event_id",
            Failure::Draining => "this instance is stopping; the event was not taken, send it again",
        };
        Self { event_id, outcome: Outcome::Failed(failure), receipt: None, faults: Vec::new(), detail }
    }

    pub(super) fn published(event_id: EventId, topic: &Arc<str>, result: Result<Placement, PublishError>) -> Self {
        let failure = match result {
            Ok(Placement { partition, offset }) => {
                let receipt = Some(Receipt { topic: Arc::clone(topic), partition, offset });
                let detail = "the event log has the event";
                let outcome = Outcome::Accepted;
                return Self { event_id: Some(event_id), outcome, receipt, faults: Vec::new(), detail };
            }
            Err(PublishError::TooLarge) => {
                let (event_id, rejection) = (Some(event_id), Rejection::TooLarge);
                return Self::rejected(Broken { event_id, rejection, faults: Vec::new() });
            }
            Err(PublishError::Away) => Failure::LogAway,
            Err(PublishError::QueueFull) => Failure::QueueFull,
            Err(PublishError::Unknown) => Failure::Unknown,
            Err(PublishError::Refused(reason)) => {
                // A mistake in our set-up (topic, rights), not the tenant's: as good as away until somebody mends it.
                tracing::error!(reason, "the log refuses records");
                Failure::LogAway
            }
        };
        Self::failed(Some(event_id), failure)
    }
}

fn rejection_detail(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::Malformed => "the event is not usable JSON",
        Rejection::Invalid => "the event breaks rules, see errors",
        Rejection::TooLarge => "the event is larger than an event may be",
        Rejection::AccountMismatch => "the event names another account than the token",
    }
}
