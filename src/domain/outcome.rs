//! How an event ends. Invariant: every event ends in exactly one [`Outcome`]; metrics, answers, dead-letter headers and reports
//! all take their words from here.

use std::borrow::Cow;

/// The end of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The log has it on all in-sync replicas.
    Accepted,
    /// The same event id stood earlier in the same batch.
    Duplicate,
    /// It broke a rule; sending it again unchanged is useless.
    Rejected(Rejection),
    /// The account is over a policy.
    Limited(Policy),
    /// The worker could not store it and set it aside.
    DeadLettered(DeadReason),
    /// We could not take it, or cannot tell whether we did; sending it again with the same event id is safe.
    Failed(Failure),
}

/// Why an event was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// Not JSON, or JSON that Postgres could not hold.
    Malformed,
    /// A required field is missing or a field breaks its rule.
    Invalid,
    /// Larger than an event may be.
    TooLarge,
    /// Names another account than the token.
    AccountMismatch,
}

/// One limit of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// Events a minute.
    Sustained,
    /// Events a second.
    Burst,
    /// Bytes a minute.
    Bytes,
    /// Requests in flight.
    Concurrent,
    /// Events a calendar month.
    Monthly,
}

/// Why a record was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// The record is not a canonical event.
    Undecodable,
    /// Its event is older than events are kept.
    Expired,
    /// Postgres refuses its data (SQLSTATE class 22 or 23).
    Unstorable,
}

/// Why we could not take an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The log is away.
    LogAway,
    /// The producer queue is full.
    QueueFull,
    /// No acknowledgement in time: the log may or may not have it.
    Unknown,
    /// This process is stopping.
    Draining,
}

impl Outcome {
    /// Status word of an item result, as the API documents it.
    pub fn status(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Rejected(_) => "rejected",
            Self::Limited(_) => "limited",
            Self::DeadLettered(_) => "dead_lettered",
            Self::Failed(_) => "retry",
        }
    }

    /// Machine-readable reason: the `code` of a problem, a metric label, a dead-letter header.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Accepted | Self::Duplicate => "none",
            Self::Rejected(rejection) => rejection.code(),
            Self::Limited(policy) => policy.name(),
            Self::DeadLettered(reason) => reason.code(),
            Self::Failed(failure) => failure.code(),
        }
    }
}

impl Rejection {
    /// The `code` of the answer.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Invalid => "invalid_event",
            Self::TooLarge => "event_too_large",
            Self::AccountMismatch => "account_mismatch",
        }
    }
}

impl Policy {
    /// Every policy, in the order of answers.
    pub const ALL: [Self; 5] = [Self::Sustained, Self::Burst, Self::Bytes, Self::Concurrent, Self::Monthly];

    /// The policy of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == text)
    }

    /// Name on the wire (RateLimit fields, limits, admin API).
    pub fn name(self) -> &'static str {
        match self {
            Self::Sustained => "sustained",
            Self::Burst => "burst",
            Self::Bytes => "bytes",
            Self::Concurrent => "concurrent",
            Self::Monthly => "monthly",
        }
    }
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Undecodable, Self::Expired, Self::Unstorable];

    /// The reason of that code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The reason header of the dead letter.
    pub fn code(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Expired => "expired",
            Self::Unstorable => "unstorable",
        }
    }
}

impl Failure {
    /// The `code` of the answer.
    pub fn code(self) -> &'static str {
        match self {
            Self::LogAway => "log_unavailable",
            Self::QueueFull => "queue_full",
            Self::Unknown => "outcome_unknown",
            Self::Draining => "draining",
        }
    }
}

/// One broken rule of one event, for the tenant to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// RFC 6901 JSON pointer to the place, relative to the event.
    pub pointer: Cow<'static, str>,
    /// Stable name of the rule, e.g. `required`, `max_length`.
    pub rule: &'static str,
    /// What to mend, in a sentence without the offending value.
    pub reason: Cow<'static, str>,
}

impl Fault {
    /// A fault of this place and rule.
    pub fn new(
        pointer: impl Into<Cow<'static, str>>,
        rule: &'static str,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { pointer: pointer.into(), rule, reason: reason.into() }
    }
}
