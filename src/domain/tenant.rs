//! Who is calling. Invariant: a [`Tenant`] comes from a verified token, or from the source row of a delivery whose signature is good.

use super::id::AccountId;
use super::time::Timestamp;

/// One permission of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Send events.
    EventsWrite,
    /// Read events and live streams.
    EventsRead,
    /// Read summaries, metrics and counters.
    MetricsRead,
    /// Read the account's dead letters.
    DlqRead,
    /// Replay the account's dead letters.
    DlqWrite,
    /// Read service levels.
    SloRead,
    /// Manage quotas (operators).
    QuotasAdmin,
    /// Manage all dead letters (operators).
    DlqAdmin,
    /// Manage sources (operators).
    SourcesAdmin,
    /// Manage topics (operators).
    TopicsAdmin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 10] = [
        Self::EventsWrite,
        Self::EventsRead,
        Self::MetricsRead,
        Self::DlqRead,
        Self::DlqWrite,
        Self::SloRead,
        Self::QuotasAdmin,
        Self::DlqAdmin,
        Self::SourcesAdmin,
        Self::TopicsAdmin,
    ];

    /// The name inside the token's `scope` claim.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventsWrite => "events:write",
            Self::EventsRead => "events:read",
            Self::MetricsRead => "metrics:read",
            Self::DlqRead => "dlq:read",
            Self::DlqWrite => "dlq:write",
            Self::SloRead => "slo:read",
            Self::QuotasAdmin => "quotas:admin",
            Self::DlqAdmin => "dlq:admin",
            Self::SourcesAdmin => "sources:admin",
            Self::TopicsAdmin => "topics:admin",
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u16);

impl Scopes {
    /// Reads a space-separated `scope` claim (RFC 8693 §4.2); unknown names are ignored.
    pub fn parse(claim: &str) -> Self {
        let known = |name: &str| Scope::ALL.into_iter().find(|scope| scope.as_str() == name);
        Self(claim.split_ascii_whitespace().filter_map(known).fold(0, |bits, scope| bits | scope.bit()))
    }

    /// Whether the scope is in the set.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

/// The caller of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Account of the token.
    pub account_id: AccountId,
    /// What the token allows.
    pub scopes: Scopes,
    /// Whether the token carries `role: operator`.
    pub operator: bool,
    /// When the token ends; long answers end with it.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_from_a_space_separated_claim() {
        let scopes = Scopes::parse("events:write  metrics:read nonsense");
        assert!(scopes.has(Scope::EventsWrite));
        assert!(scopes.has(Scope::MetricsRead));
        assert!(!scopes.has(Scope::EventsRead));
        assert_eq!(Scopes::parse(""), Scopes::default());
    }
}
