//! Live counters as readers see them. Invariant: every minute asked for has its line, quiet ones too.

use poem_openapi::{Enum, Object};
use serde::Serialize;

use super::text::Rfc3339;
use crate::domain::id::AccountId;
use crate::query::{CountedBy, Counters};

/// Events of one minute.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "MinuteCount")]
struct MinuteBody {
    /// Its start
    minute: Rfc3339,
    /// How many
    events: u64,
}

/// Events of one name.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "NameCount")]
struct NameBody {
    /// The name; empty for all beyond 1,000 names in a minute
    event_name: String,
    /// How many
    events: u64,
}

/// Where the numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "CountedBy", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum CountedByBody {
    /// The live counters
    Redis,
    /// The stored events, because the live counters were away or lost
    Postgres,
}

/// Events of the last minutes.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Counters")]
pub(super) struct CountersBody {
    /// The account
    account_id: String,
    /// All of them
    total_events: u64,
    /// By minute, the oldest first, the current one last
    minutes: Vec<MinuteBody>,
    /// By name, most frequent first
    counts: Vec<NameBody>,
    /// Where the numbers come from
    counted_by: CountedByBody,
}

impl CountersBody {
    /// The counters of that account.
    pub(super) fn new(account: &AccountId, counters: Counters) -> Self {
        let minute = |(start, events)| MinuteBody { minute: Rfc3339(start), events };
        let names = counters.names.into_iter();
        Self {
            account_id: account.as_str().to_owned(),
            total_events: counters.total,
            minutes: counters.minutes.into_iter().map(minute).collect(),
            counts: names.map(|count| NameBody { event_name: count.event_name, events: count.events }).collect(),
            counted_by: match counters.counted_by {
                CountedBy::Redis => CountedByBody::Redis,
                CountedBy::Postgres => CountedByBody::Postgres,
            },
        }
    }
}
