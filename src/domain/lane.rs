//! The two ways into the log. Invariant: which lane a record took can be told from its topic and its key alone.

use std::fmt;
use std::sync::Arc;

use super::id::AccountId;
use super::time::Timestamp;

/// What the name of a bulk topic ends with.
const BULK_SUFFIX: &str = ".bulk";

/// Keys of an account in the bulk lane, fixed for ever: with more of them a user's events would change partition.
const BULK_KEYS: u64 = 4;

/// Which topic an account's events take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// One partition for the account, shared with others.
    Standard,
    /// For accounts with a backlog: up to four partitions, by user, out of the way of others.
    Bulk,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 2] = [Self::Standard, Self::Bulk];

    /// The name on the wire, in SQL and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Bulk => "bulk",
        }
    }

    /// The lane of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == text)
    }

    /// The lane of a topic.
    pub fn of_topic(topic: &str) -> Self {
        if topic.ends_with(BULK_SUFFIX) { Self::Bulk } else { Self::Standard }
    }

    /// The topic of this lane beside a topic of the standard lane.
    pub fn topic(self, base: &str) -> String {
        match self {
            Self::Standard => base.to_owned(),
            Self::Bulk => format!("{base}{BULK_SUFFIX}"),
        }
    }

    /// The topic of the standard lane of a topic.
    pub fn base(topic: &str) -> &str {
        topic.strip_suffix(BULK_SUFFIX).unwrap_or(topic)
    }

    /// Every key an account has in this lane.
    pub fn keys(self, account: &AccountId) -> Vec<String> {
        match self {
            Self::Standard => vec![account.to_string()],
            Self::Bulk => (0..BULK_KEYS).map(|number| format!("{account}#{number}")).collect(),
        }
    }

    /// The key of a user's event in this lane: what has one key stays in order.
    pub fn key(self, account: &AccountId, user_id: &str) -> String {
        match self {
            Self::Standard => account.to_string(),
            Self::Bulk => format!("{account}#{}", fnv(user_id.as_bytes()) % BULK_KEYS),
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an account changed its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MoveReason {
    /// Too many of its records waited.
    Backlog,
    /// Few have waited for long enough.
    Calm,
    /// An operator chose its lane.
    Pinned,
    /// Operators leave it to its backlog again.
    Unpinned,
}

impl MoveReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Backlog, Self::Calm, Self::Pinned, Self::Unpinned];

    /// The name on the wire and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backlog => "backlog",
            Self::Calm => "calm",
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
        }
    }

    /// The reason of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// An account that changed its lane, for what one instance publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneMove {
    /// Who.
    pub account: AccountId,
    /// Where it is now.
    pub lane: Lane,
    /// Since when.
    pub since: Timestamp,
    /// Which instance says so.
    pub instance: Arc<str>,
    /// Why.
    pub reason: MoveReason,
    /// Records of the account that this instance had published and Postgres had not.
    pub backlog: u64,
}

/// FNV-1a, folded: the same in every build on every machine, which the hash of the standard library does not promise.
fn fnv(bytes: &[u8]) -> u64 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_topics_are_told_apart() {
        assert_eq!(Lane::ALL.map(|lane| Lane::parse(lane.as_str())), Lane::ALL.map(Some));
        assert_eq!(Lane::of_topic("weir.events.bulk"), Lane::Bulk);
        assert_eq!(Lane::of_topic("weir.events"), Lane::Standard);
        for lane in Lane::ALL {
            let topic = lane.topic("weir.events");
            assert_eq!((Lane::of_topic(&topic), Lane::base(&topic)), (lane, "weir.events"));
        }
        assert_eq!(MoveReason::ALL.map(|reason| MoveReason::parse(reason.as_str())), MoveReason::ALL.map(Some));
    }

    #[test]
    fn a_users_key_never_changes_and_users_spread_over_four() {
        let acme = AccountId::new("acme").expect("account");
        assert_eq!(Lane::Standard.key(&acme, "u1"), "acme");
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c ^ 0xaf63_dc4c, "the published vector, folded");
        let keys: BTreeSet<String> = (0..100).map(|user| Lane::Bulk.key(&acme, &format!("u{user}"))).collect();
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["acme#0", "acme#1", "acme#2", "acme#3"]);
    }
}
