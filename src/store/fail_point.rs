//! Named places where the process dies on request, for the kill tests. Invariant: without `WEIR_FAIL_POINT` nothing here runs.

use std::sync::atomic::{AtomicU64, Ordering};

/// A place on the write path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Rows are inserted and counted, the transaction is open.
    AfterInsert,
    /// The transaction is committed, the caller does not know.
    AfterCommit,
}

/// Dies at `place` of the n-th write.
#[derive(Debug)]
pub(super) struct FailPoint {
    place: Place,
    left: AtomicU64,
}

impl FailPoint {
    /// Reads `after_insert`, `after_commit` or either with `:n`, the number of the write.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, count) = text.split_once(':').unwrap_or((text, "1"));
        let place = match name {
            "after_insert" => Place::AfterInsert,
            "after_commit" => Place::AfterCommit,
            _ => return Err(format!("WEIR_FAIL_POINT: {name} is not a place; after_insert or after_commit is")),
        };
        match count.parse() {
            Ok(n) if n > 0 => Ok(Self { place, left: AtomicU64::new(n) }),
            _ => Err(format!("WEIR_FAIL_POINT: {count} is not the number of a write")),
        }
    }

    /// Ends the process as `kill -9` would, when this is the place and the write.
    pub(super) fn pass(&self, place: Place) {
        if place == self.place && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_place_and_count() {
        let point = FailPoint::parse("after_commit:3").expect("point");
        assert_eq!(point.place, Place::AfterCommit);
        assert_eq!(point.left.load(Ordering::Relaxed), 3);
        assert_eq!(FailPoint::parse("after_insert").expect("point").left.load(Ordering::Relaxed), 1);
        for bad in ["", "before_lunch", "after_insert:0", "after_insert:x"] {
            assert!(FailPoint::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn passes_other_places_and_earlier_writes() {
        let point = FailPoint::parse("after_insert:2").expect("point");
        point.pass(Place::AfterCommit);
        point.pass(Place::AfterInsert);
        assert_eq!(point.left.load(Ordering::Relaxed), 1);
    }
}
