//! The room of one request's body, made before its bytes are in memory. Invariant: what is held is what the body becomes on its way to
//! the log, and never more than one account may hold, so that an idle instance takes whatever the caps of the door let through.

use super::inflight::{Full, Held};

/// Bytes of memory a byte of a body becomes: with batches of 40 KB the body itself, the pieces it comes in, its events and records,
/// librdkafka's copies and the answer, and the request around it (ADR 28 says how it was seen).
const BECOMES: i64 = 4;

/// Room for a body of unknown length is made in steps of this many bytes of it.
const STEP: usize = 64 * 1024;

/// What a request holds for its body.
#[derive(Debug, Default)]
pub(super) struct Room {
    held: Vec<Held>,
    /// Bytes of a body there is room for.
    bytes: usize,
}

impl Room {
    /// Whether it holds anything.
    pub(super) fn is_any(&self) -> bool {
        self.bytes > 0
    }

    /// Makes the room at least `bytes` of a body large. An account may hold `most`, and `take` takes some of that.
    ///
    /// # Errors
    /// What `take` says; the room is as before then.
    pub(super) fn grow(
        &mut self,
        bytes: usize,
        most: i64,
        take: impl FnOnce(i64) -> Result<Held, Full>,
    ) -> Result<(), Full> {
        if bytes <= self.bytes {
            return Ok(());
        }
        // One that did not say its length takes room in steps.
        let bytes = if self.bytes == 0 { bytes } else { bytes.max(self.bytes + STEP) };
        let more = becomes(bytes, most) - becomes(self.bytes, most);
        if more > 0 {
            self.held.push(take(more)?);
        }
        self.bytes = bytes;
        Ok(())
    }
}

/// What so many bytes of a body become.
fn becomes(bytes: usize, most: i64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(BECOMES).min(most)
}

#[cfg(test)]
mod tests {
    use super::super::inflight::{Pools, Resource, Slots};
    use super::*;

    const MOST: i64 = 1 << 20;

    fn grow(room: &mut Room, pools: &Pools, slots: &Slots, bytes: usize) -> Result<(), Full> {
        room.grow(bytes, MOST, |more| pools.take(Resource::Body, slots, more, (MOST, 1)))
    }

    #[test]
    fn a_body_holds_what_it_becomes_until_it_is_gone() {
        let (pools, slots, mut room) = (Pools::of(MOST * 2), Slots::default(), Room::default());
        grow(&mut room, &pools, &slots, 0).expect("nothing");
        assert_eq!(slots.used(Resource::Body), 0);
        grow(&mut room, &pools, &slots, 1_000).expect("room");
        assert_eq!(slots.used(Resource::Body), 1_000 * BECOMES);
        grow(&mut room, &pools, &slots, 900).expect("room for less");
        assert_eq!(slots.used(Resource::Body), 1_000 * BECOMES);
        drop(room);
        assert_eq!(slots.used(Resource::Body), 0);
    }

    #[test]
    fn one_of_unknown_length_grows_in_steps() {
        let (pools, slots, mut room) = (Pools::of(MOST * 2), Slots::default(), Room::default());
        let step = i64::try_from(STEP).expect("small");
        grow(&mut room, &pools, &slots, 100).expect("the first piece");
        grow(&mut room, &pools, &slots, 101).expect("the second piece");
        assert_eq!(slots.used(Resource::Body), (100 + step) * BECOMES);
        grow(&mut room, &pools, &slots, 3 * STEP).expect("a large piece");
        assert_eq!(slots.used(Resource::Body), 3 * step * BECOMES);
    }

    #[test]
    fn the_largest_body_takes_all_an_account_may_hold_and_no_more() {
        let (pools, slots, mut room) = (Pools::of(MOST * 2), Slots::default(), Room::default());
        grow(&mut room, &pools, &slots, usize::MAX).expect("alone it fits");
        grow(&mut room, &pools, &slots, usize::MAX).expect("it has all");
        assert_eq!(slots.used(Resource::Body), MOST);
        let mut second = Room::default();
        assert_eq!(grow(&mut second, &pools, &slots, 1), Err(Full::Own { used: MOST, cap: MOST }));
        drop(room);
        grow(&mut second, &pools, &slots, 1).expect("room again");
        assert_eq!(slots.used(Resource::Body), BECOMES);
    }

    #[test]
    fn what_was_refused_changes_nothing() {
        let (pools, slots, mut room) = (Pools::of(1_000), Slots::default(), Room::default());
        grow(&mut room, &pools, &slots, 100).expect("room");
        assert_eq!(grow(&mut room, &pools, &slots, 200), Err(Full::All));
        assert_eq!((slots.used(Resource::Body), room.bytes), (100 * BECOMES, 100));
    }
}
