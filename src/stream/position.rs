//! How far a stream has come: the next offset of each partition. Invariant: what a client shows opens only when this service
//! gave it to this account, so no place of the log can be made up.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::domain::id::AccountId;
use crate::domain::receipt::ReceiptSealer;
use crate::kafka::Partition;

/// Most partitions of one position; an account has a handful.
const MAX_PARTS: usize = 256;

/// Next offsets by partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<Partition, i64>);

impl Position {
    /// The next offset of a partition, if it is known.
    pub fn get(&self, partition: &Partition) -> Option<i64> {
        self.0.get(partition).copied()
    }

    /// Moves a partition on; it never goes back.
    pub fn advance(&mut self, partition: &Partition, next: i64) {
        match self.0.get_mut(partition) {
            Some(held) => *held = next.max(*held),
            None => {
                self.0.insert(partition.clone(), next);
            }
        }
    }

    /// Moves every partition of `other` on.
    pub fn advance_all(&mut self, other: &Self) {
        for (partition, next) in &other.0 {
            self.advance(partition, *next);
        }
    }

    /// The text a client gets.
    pub fn seal(&self, sealer: &ReceiptSealer, account: &AccountId) -> String {
        let mut text = String::with_capacity(self.0.len() * 32);
        for (Partition { topic, partition }, next) in &self.0 {
            // Writing to a String cannot fail.
            write!(text, "{}{topic}/{partition}/{next}", if text.is_empty() { "" } else { "," }).unwrap_or_default();
        }
        sealer.seal_text(account, &text)
    }

    /// The position a client shows; `None` when it was not given to this account.
    pub fn open(sealer: &ReceiptSealer, account: &AccountId, shown: &str) -> Option<Self> {
        let text = sealer.open_text(account, shown)?;
        let mut parts = BTreeMap::new();
        for part in text.split(',') {
            let mut fields = part.rsplitn(3, '/');
            let next = fields.next()?.parse().ok()?;
            let partition = fields.next()?.parse().ok()?;
            parts.insert(Partition { topic: fields.next()?.into(), partition }, next);
        }
        (parts.len() <= MAX_PARTS).then_some(Self(parts))
    }
}

impl FromIterator<(Partition, i64)> for Position {
    fn from_iter<T: IntoIterator<Item = (Partition, i64)>>(parts: T) -> Self {
        Self(parts.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(topic: &str, partition: i32) -> Partition {
        Partition { topic: topic.into(), partition }
    }

    #[test]
    fn a_position_opens_for_its_account_only_and_not_changed() {
        let (sealer, account) = (ReceiptSealer::new(b"secret"), AccountId::new("a").expect("account"));
        let position: Position = [(part("t.events", 3), 41), (part("t.events.bulk", 0), 0)].into_iter().collect();
        let text = position.seal(&sealer, &account);
        assert_eq!(Position::open(&sealer, &account, &text), Some(position));
        assert_eq!(Position::open(&sealer, &AccountId::new("b").expect("account"), &text), None);
        assert_eq!(Position::open(&ReceiptSealer::new(b"other"), &account, &text), None);
        for bad in ["", "x", &text[1..], &format!("{text}A"), &"A".repeat(20_000)] {
            assert_eq!(Position::open(&sealer, &account, bad), None, "{bad:.40}");
        }
    }

    #[test]
    fn it_never_goes_back() {
        let mut position = Position::default();
        position.advance(&part("t", 0), 7);
        position.advance(&part("t", 0), 3);
        assert_eq!(position.get(&part("t", 0)), Some(7));
    }
}
