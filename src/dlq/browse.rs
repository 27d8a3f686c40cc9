//! Looking at dead letters. Invariant: reads only, and remembers no more rows than were asked for.

use std::collections::BinaryHeap;
use std::time::Duration;

use super::letter::Found;
use crate::config::KafkaConfig;
use crate::domain::id::AccountId;
use crate::domain::outcome::DeadReason;
use crate::kafka::Polled;
use crate::kafka::scan::{Scan, ScanError, Span};

/// Which dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this account.
    pub account: Option<AccountId>,
    /// Only those set aside for this reason.
    pub reason: Option<DeadReason>,
}

impl Filter {
    /// Whether a letter is meant.
    pub fn meets(&self, found: &Found) -> bool {
        let account = self.account.as_ref().is_none_or(|account| found.account.as_ref() == Some(account));
        account && self.reason.is_none_or(|reason| found.reason == reason.code())
    }
}

/// One dead letter in a listing, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// When it was set aside, in ms since 1970.
    pub set_aside_ms: i64,
    /// Where it stands in the dead-letter topic: partition and offset.
    pub place: (i32, i64),
    /// Name that stays the same through replays.
    pub id: String,
    /// Whose it is, when known.
    pub account: Option<AccountId>,
    /// Why it was set aside.
    pub reason: String,
    /// Where it met its end.
    pub stage: String,
    /// How often it was tried.
    pub tries: u32,
    /// How often it had been replayed before.
    pub replays: u32,
    /// What is wrong with it.
    pub detail: String,
    /// Bytes of its value.
    pub bytes: usize,
}

impl Row {
    fn of(found: Found) -> Self {
        Self {
            set_aside_ms: found.letter.timestamp_ms,
            place: (found.letter.partition, found.letter.offset),
            bytes: found.letter.value.as_ref().map_or(0, Vec::len),
            id: found.id,
            account: found.account,
            reason: found.reason,
            stage: found.stage,
            tries: found.tries,
            replays: found.replays,
            detail: found.detail,
        }
    }
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The newest that meet the filter, newest first.
    pub rows: Vec<Row>,
    /// How many meet it.
    pub matching: usize,
    /// How many records the topic holds, foreign ones included.
    pub scanned: usize,
}

/// Lists the newest dead letters that meet the filter; reads the whole topic, within `deadline`.
///
/// # Errors
/// [`ScanError`] when the topic cannot be read to its end.
pub async fn list(
    config: &KafkaConfig,
    filter: &Filter,
    newest: usize,
    deadline: Duration,
) -> Result<Listing, ScanError> {
    let mut scan = Scan::start(config, &config.kafka_dead_letter_topic, Span::All, deadline)?;
    let mut shelf = Shelf { newest, ..Shelf::default() };
    while let Some(letter) = scan.next().await? {
        shelf.take(letter, filter);
    }
    Ok(shelf.listing())
}

/// The newest rows so far.
#[derive(Default)]
struct Shelf {
    newest: usize,
    rows: BinaryHeap<Oldest>,
    matching: usize,
    scanned: usize,
}

impl Shelf {
    fn take(&mut self, letter: Polled, filter: &Filter) {
        self.scanned += 1;
        let Some(found) = Found::read(letter).filter(|found| filter.meets(found)) else { return };
        self.matching += 1;
        self.rows.push(Oldest(Row::of(found)));
        if self.rows.len() > self.newest {
            self.rows.pop();
        }
    }

    fn listing(self) -> Listing {
        let mut rows: Vec<Row> = self.rows.into_iter().map(|oldest| oldest.0).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(age(row)));
        Listing { rows, matching: self.matching, scanned: self.scanned }
    }
}

/// A row that sorts by age: the oldest is the greatest.
struct Oldest(Row);

fn age(row: &Row) -> (i64, i32, i64) {
    (row.set_aside_ms, row.place.0, row.place.1)
}

impl Ord for Oldest {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        age(&other.0).cmp(&age(&self.0))
    }
}

impl PartialOrd for Oldest {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Oldest {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Oldest {}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::{polled, sealed};
    use super::*;

    #[test]
    fn keeps_the_newest_that_meet_the_filter() {
        let mut shelf = Shelf { newest: 2, ..Shelf::default() };
        let wanted = Filter { account: AccountId::new("acme").ok(), reason: Some(DeadReason::Unstorable) };
        for at in [5, 9, 1, 7] {
            shelf.take(Polled { timestamp_ms: at, offset: at, ..sealed(&polled()) }, &wanted);
        }
        shelf.take(polled(), &wanted);
        let listing = shelf.listing();
        assert_eq!(listing.rows.iter().map(|row| row.set_aside_ms).collect::<Vec<_>>(), [9, 7]);
        assert_eq!((listing.matching, listing.scanned), (4, 5));
    }

    #[test]
    fn other_accounts_and_reasons_are_left_out() {
        let found = Found::read(sealed(&polled())).expect("a letter");
        assert!(Filter::default().meets(&found));
        assert!(!Filter { account: AccountId::new("other").ok(), reason: None }.meets(&found));
        assert!(!Filter { account: None, reason: Some(DeadReason::Undecodable) }.meets(&found));
    }
}
