//! From record to event. Invariant: every polled record becomes exactly one [`Taken`], decodable or not, so that one bad record
//! never costs its neighbours; nothing is believed that the record's key and headers contradict.
//!
//! The door is the only writer by contract, but a topic can be written by anyone with a credential: an envelope whose account
//! differs from its key or header would be stored for an account that lanes and shares never saw.

use crate::codec::envelope::{self, EnvelopeError};
use crate::domain::event::Event;
use crate::domain::id::AccountId;
use crate::domain::outcome::DeadReason;
use crate::domain::time::Timestamp;
use crate::kafka::Polled;

/// Memory of an event beside its texts: fields, allocations, the queue's own slot.
const OVERHEAD: usize = 512;

/// A record that was read, with what it holds.
#[derive(Debug)]
pub struct Taken {
    /// The record as the log has it.
    pub origin: Polled,
    /// Its event, or why there is none.
    pub event: Result<Event<'static>, NoEvent>,
}

/// Why a record holds no event to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoEvent {
    /// [`DeadReason::Undecodable`] or [`DeadReason::Expired`].
    pub reason: DeadReason,
    /// What is wrong, in a sentence without its content.
    pub detail: String,
    /// Whose it seems to be, by its header.
    pub account: Option<AccountId>,
}

impl Taken {
    /// Bytes of the value.
    pub fn bytes(&self) -> usize {
        self.origin.value.as_ref().map_or(0, |value| value.len())
    }

    /// Memory it takes, roughly: the record, and the event that owns a copy of its texts.
    pub fn weight(&self) -> usize {
        self.origin.size() + self.bytes() + OVERHEAD
    }
}

impl Taken {
    /// Refuses an event from before `oldest`: where it would be written, rows are deleted and repeats no longer known.
    #[must_use]
    pub fn not_before(mut self, oldest: Timestamp) -> Self {
        if let Ok(event) = &self.event
            && event.timestamp < oldest
        {
            let detail = "the event is older than events are kept".to_owned();
            self.event = Err(NoEvent { reason: DeadReason::Expired, detail, account: Some(event.account_id.clone()) });
        }
        self
    }
}

/// Reads the event of a record.
pub fn decode(origin: Polled) -> Taken {
    let account = text(&origin, "account_id").and_then(|text| AccountId::new(text).ok());
    let event =
        read(&origin, account.as_ref()).map_err(|detail| NoEvent { reason: DeadReason::Undecodable, detail, account });
    Taken { origin, event }
}

fn read(origin: &Polled, account: Option<&AccountId>) -> Result<Event<'static>, String> {
    let event = envelope::decode(origin.value.as_deref(), origin.header("v")).map_err(|error| sentence(&error))?;
    let account = account.ok_or("header account_id is missing or not an account id")?;
    if event.account_id != *account {
        return Err("account_id differs between header and value".into());
    }
    if !key_of(account, origin.key.as_deref()) {
        return Err("the key is not the account's".into());
    }
    Ok(event.into_owned())
}

/// What is wrong, without the names of the tenant's own members.
fn sentence(error: &EnvelopeError) -> String {
    match error {
        EnvelopeError::Malformed(reason, _) => format!("the value is not clean JSON: {reason}"),
        other => other.to_string(),
    }
}

/// Whether a key is the account's: its id, or in the bulk lane its id, `#` and a number.
fn key_of(account: &AccountId, key: Option<&[u8]>) -> bool {
    let Some(rest) = key.and_then(|key| key.strip_prefix(account.as_str().as_bytes())) else { return false };
    match rest {
        [] => true,
        [b'#', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn text<'a>(origin: &'a Polled, header: &str) -> Option<&'a str> {
    origin.header(header).and_then(|value| std::str::from_utf8(value).ok())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::event::Channel;
    use crate::domain::id::EventId;
    use crate::domain::time::Timestamp;

    pub(in crate::worker) fn event(account: &str, id: &str) -> Event<'static> {
        let time = Timestamp::from_unix_seconds(1_700_000_000).expect("time");
        Event {
            event_id: EventId::new(id).expect("id"),
            account_id: AccountId::new(account).expect("account"),
            event_name: "click".into(),
            user_id: "u".into(),
            channel: Channel::Web,
            source: None,
            campaign_id: None,
            timestamp: time,
            tags: Vec::new(),
            value: None,
            schema_version: 1,
            metadata: None,
            received_at: time,
        }
    }

    /// A record as the door writes it.
    pub(in crate::worker) fn record(account: &str, partition: i32, offset: i64) -> Polled {
        let value = envelope::encode(&event(account, &format!("{partition}-{offset}")));
        Polled {
            topic: "t".into(),
            partition,
            offset,
            timestamp_ms: 1_700_000_000_000 + offset,
            key: Some(account.into()),
            value: Some(value),
            headers: vec![("account_id".into(), Some(account.into())), ("v".into(), Some(b"1".to_vec()))],
        }
    }

    /// A record that holds no event.
    pub(in crate::worker) fn garbage(partition: i32, offset: i64) -> Polled {
        Polled { value: Some(b"{".to_vec()), ..record("acme", partition, offset) }
    }

    fn why(record: Polled) -> String {
        decode(record).event.expect_err("no event").detail
    }

    #[test]
    fn a_record_of_the_door_is_read_in_either_lane() {
        assert_eq!(decode(record("acme", 0, 7)).event, Ok(event("acme", "0-7")));
        for key in ["acme#0", "acme#17"] {
            let bulk = Polled { key: Some(key.into()), ..record("acme", 0, 7) };
            assert!(decode(bulk).event.is_ok(), "{key}");
        }
    }

    #[test]
    fn each_kind_of_bad_record_is_told_apart_and_names_its_account_when_it_can() {
        let good = || record("acme", 0, 7);
        let headers = |account: &str, version: &str| {
            vec![("account_id".to_owned(), Some(account.into())), ("v".to_owned(), Some(version.into()))]
        };
        assert!(why(Polled { value: None, ..good() }).contains("no value"));
        assert!(why(Polled { value: Some(b"{".to_vec()), ..good() }).contains("canonical"));
        assert!(why(Polled { headers: headers("acme", "2"), ..good() }).contains("version"));
        assert!(why(Polled { headers: Vec::new(), ..good() }).contains("version"));
        assert!(why(Polled { headers: headers("not an id", "1"), ..good() }).contains("header account_id"));
        assert!(why(Polled { headers: headers("other", "1"), ..good() }).contains("differs"));
        for key in [None, Some("other"), Some("acme#"), Some("acme#x"), Some("acmes")] {
            let foreign = Polled { key: key.map(Into::into), ..good() };
            assert!(why(foreign).contains("key"), "{key:?}");
        }
        let bad = decode(Polled { value: None, ..good() });
        assert_eq!(bad.event.expect_err("bad").account, AccountId::new("acme").ok());
    }
}
