//! How an answer speaks of one event. Invariant: what the service promised about an event is exactly one of these.

/// Where the log keeps an event, the topic by its number in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Number of the topic.
    pub topic: u16,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// The answer for one event: `a` or `a<topic>/<partition>/<offset>`, `d`, `j`, `l`, `r`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// `a`: the log has it.
    Accepted(Option<Placed>),
    /// `d`: its id stood earlier in the same batch.
    Duplicate,
    /// `j`: it broke a rule; it must not be stored.
    Rejected,
    /// `l`: the account is over a policy; it must not be stored.
    Limited,
    /// `r`: not taken, or not known to be; to be sent again.
    Retry,
}

impl Item {
    pub(super) fn write(self, out: &mut String) {
        use std::fmt::Write;
        match self {
            Self::Accepted(Some(Placed { topic, partition, offset })) => {
                let written = write!(out, "a{topic}/{partition}/{offset}");
                debug_assert!(written.is_ok());
            }
            Self::Accepted(None) => out.push('a'),
            Self::Duplicate => out.push('d'),
            Self::Rejected => out.push('j'),
            Self::Limited => out.push('l'),
            Self::Retry => out.push('r'),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "a" => Some(Self::Accepted(None)),
            "d" => Some(Self::Duplicate),
            "j" => Some(Self::Rejected),
            "l" => Some(Self::Limited),
            "r" => Some(Self::Retry),
            _ => {
                let mut parts = text.strip_prefix('a')?.split('/');
                let topic = parts.next()?.parse().ok()?;
                let partition = parts.next()?.parse().ok()?;
                let offset = parts.next()?.parse().ok()?;
                Some(Self::Accepted(Some(Placed { topic, partition, offset })))
            }
        }
    }
}
