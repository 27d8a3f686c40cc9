//! One dead letter, written and read. Invariant: key, value and headers of the record are kept byte for byte; what we know is
//! added in headers that begin with `dead.`, and taking those away gives the record back.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::domain::id::AccountId;
use crate::domain::outcome::DeadReason;
use crate::domain::time::Timestamp;
use crate::kafka::{Polled, Record};

/// What all headers of ours begin with.
const PREFIX: &str = "dead.";
const ID: &str = "dead.id";
const REASON: &str = "dead.reason";
const STAGE: &str = "dead.stage";
const TRIES: &str = "dead.tries";
const FIRST_FAILED_AT: &str = "dead.first_failed_at";
const TOPIC: &str = "dead.topic";
const PARTITION: &str = "dead.partition";
const OFFSET: &str = "dead.offset";
const ACCOUNT_ID: &str = "dead.account_id";
const DETAIL: &str = "dead.detail";
const REPLAYS: &str = "dead.replays";

/// Where a record met its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It holds no event.
    Decode,
    /// Postgres refuses its event.
    Write,
}

impl Stage {
    /// The name in the header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Write => "write",
        }
    }
}

/// A record to set aside, and why.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// The record.
    pub origin: &'a Polled,
    /// Why.
    pub reason: DeadReason,
    /// Where.
    pub stage: Stage,
    /// How often it was tried.
    pub tries: u32,
    /// When it failed first.
    pub first_failed_at: Timestamp,
    /// Whose it is, when known.
    pub account: Option<&'a AccountId>,
    /// A sentence without the record's content.
    pub detail: &'a str,
}

impl DeadLetter<'_> {
    /// The record for the dead-letter topic.
    pub(super) fn seal(&self, topic: &Arc<str>) -> Record {
        let origin = self.origin;
        let place = format!("{}/{}/{}", origin.topic, origin.partition, origin.offset);
        // A letter that died again after its replay keeps its first name, so that a later replay sends it once.
        let id = text(origin, ID).map_or(place, str::to_owned);
        let mut headers = original_headers(origin);
        let mut add =
            |name: &'static str, value: String| headers.push((Cow::Borrowed(name), Some(value.into_bytes().into())));
        add(ID, id);
        add(REASON, self.reason.code().to_owned());
        add(STAGE, self.stage.name().to_owned());
        add(TRIES, self.tries.to_string());
        add(FIRST_FAILED_AT, self.first_failed_at.to_string());
        add(TOPIC, origin.topic.to_string());
        add(PARTITION, origin.partition.to_string());
        add(OFFSET, origin.offset.to_string());
        if let Some(account) = self.account {
            add(ACCOUNT_ID, account.to_string());
        }
        add(DETAIL, self.detail.to_owned());
        add(REPLAYS, replays(origin).to_string());
        Record { topic: Arc::clone(topic), key: bytes(&origin.key), value: bytes(&origin.value), headers }
    }
}

/// A dead letter as found in its topic.
#[derive(Debug, Clone)]
pub struct Found {
    /// Name that stays the same through replays: where the record stood first.
    pub id: String,
    /// Why it was set aside.
    pub reason: String,
    /// Where it met its end.
    pub stage: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it failed first.
    pub first_failed_at: Option<Timestamp>,
    /// Topic it came from.
    pub topic: String,
    /// Partition it came from.
    pub partition: i32,
    /// Offset it had.
    pub offset: i64,
    /// Whose it is, when known.
    pub account: Option<AccountId>,
    /// What is wrong with it.
    pub detail: String,
    /// How often it has been replayed.
    pub replays: u32,
    /// The record in the dead-letter topic.
    pub letter: Polled,
}

impl Found {
    /// Reads a record of the dead-letter topic; `None` when it is none of ours.
    pub fn read(letter: Polled) -> Option<Self> {
        let of = |name: &str| text(&letter, name);
        Some(Self {
            id: of(ID)?.to_owned(),
            reason: of(REASON)?.to_owned(),
            stage: of(STAGE).unwrap_or_default().to_owned(),
            tries: of(TRIES).and_then(|tries| tries.parse().ok()).unwrap_or(0),
            first_failed_at: of(FIRST_FAILED_AT).and_then(|time| Timestamp::parse_rfc3339(time).ok()),
            topic: of(TOPIC)?.to_owned(),
            partition: of(PARTITION)?.parse().ok()?,
            offset: of(OFFSET)?.parse().ok()?,
            account: of(ACCOUNT_ID).and_then(|account| AccountId::new(account).ok()),
            detail: of(DETAIL).unwrap_or_default().to_owned(),
            replays: replays(&letter),
            letter,
        })
    }

    /// The record as it was, for the topic it came from, marked as replayed once more.
    pub(super) fn revive(&self) -> Record {
        let mut headers = original_headers(&self.letter);
        headers.push((Cow::Borrowed(ID), Some(self.id.clone().into_bytes().into())));
        headers.push((Cow::Borrowed(REPLAYS), Some((self.replays + 1).to_string().into_bytes().into())));
        Record {
            topic: self.topic.as_str().into(),
            key: bytes(&self.letter.key),
            value: bytes(&self.letter.value),
            headers,
        }
    }
}

fn bytes(original: &Option<Vec<u8>>) -> Option<Bytes> {
    original.as_deref().map(Bytes::copy_from_slice)
}

fn original_headers(record: &Polled) -> Vec<(Cow<'static, str>, Option<Bytes>)> {
    let original = record.headers.iter().filter(|(name, _)| !name.starts_with(PREFIX));
    original.map(|(name, value)| (Cow::Owned(name.clone()), bytes(value))).collect()
}

fn text<'a>(record: &'a Polled, name: &str) -> Option<&'a str> {
    record.header(name).and_then(|value| std::str::from_utf8(value).ok())
}

fn replays(record: &Polled) -> u32 {
    text(record, REPLAYS).and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::dlq) fn polled() -> Polled {
        Polled {
            topic: "weir.events".into(),
            partition: 3,
            offset: 41,
            timestamp_ms: 0,
            key: Some(b"acme".to_vec()),
            value: Some(vec![0, 159, 146, 150]),
            headers: vec![("request_id".into(), Some(vec![255])), ("empty".into(), None)],
        }
    }

    pub(in crate::dlq) fn sealed(origin: &Polled) -> Polled {
        let account = AccountId::new("acme").expect("id");
        let letter = DeadLetter {
            origin,
            reason: DeadReason::Unstorable,
            stage: Stage::Write,
            tries: 3,
            first_failed_at: Timestamp::from_unix_seconds(5).expect("time"),
            account: Some(&account),
            detail: "SQLSTATE 22P02",
        };
        as_polled(letter.seal(&"dead".into()), 7)
    }

    fn as_polled(record: Record, offset: i64) -> Polled {
        let vec = |bytes: Option<Bytes>| bytes.map(Vec::from);
        let headers = record.headers.into_iter().map(|(name, value)| (name.into_owned(), vec(value))).collect();
        let (key, value) = (vec(record.key), vec(record.value));
        Polled { topic: record.topic, partition: 0, offset, timestamp_ms: 0, key, value, headers }
    }

    #[test]
    fn a_letter_tells_all_and_keeps_the_bytes() {
        let origin = polled();
        let found = Found::read(sealed(&origin)).expect("a letter");
        assert_eq!((found.topic.as_str(), found.partition, found.offset), ("weir.events", 3, 41));
        assert_eq!((found.reason.as_str(), found.stage.as_str(), found.tries), ("unstorable", "write", 3));
        assert_eq!(found.account.as_ref().map(AccountId::as_str), Some("acme"));
        assert_eq!((found.id.as_str(), found.replays), ("weir.events/3/41", 0));
        let revived = as_polled(found.revive(), 99);
        assert_eq!((&revived.key, &revived.value), (&origin.key, &origin.value));
        assert_eq!(revived.headers[..2], origin.headers[..]);
        assert!(revived.header(REASON).is_none());
    }

    #[test]
    fn a_letter_that_dies_again_keeps_its_name_and_its_count() {
        let found = Found::read(sealed(&polled())).expect("a letter");
        let again = Found::read(sealed(&as_polled(found.revive(), 99))).expect("a letter");
        assert_eq!((again.id.as_str(), again.offset, again.replays), ("weir.events/3/41", 99, 1));
        assert_eq!(again.letter.headers.iter().filter(|(name, _)| name == ID).count(), 1);
    }

    #[test]
    fn a_foreign_record_is_no_letter() {
        assert!(Found::read(polled()).is_none());
    }

    #[test]
    fn tombstones_stay_tombstones() {
        let origin = Polled { value: None, key: None, ..polled() };
        let revived = Found::read(sealed(&origin)).expect("a letter").revive();
        assert_eq!((revived.key, revived.value), (None, None));
    }
}
