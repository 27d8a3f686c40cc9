//! Ids that stand twice in a request. Invariant: the first event of an id that keeps the rules counts, and every later one shares
//! its fate, so `duplicate` is said only of what the log has.

use std::collections::HashMap;

use crate::domain::id::EventId;
use crate::domain::outcome::Outcome;

/// Where the first event of an id is.
#[derive(Debug, Clone, Copy)]
pub(super) enum First {
    /// Among the events now being published, at this place.
    Here(usize),
    /// Published before, with this end.
    Earlier(Outcome),
}

/// The ids of one request.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    seen: HashMap<EventId, First>,
    /// There is one event, so nothing can stand twice.
    single: bool,
}

impl Repeats {
    /// Of a request with so many events.
    pub(super) fn among(events: usize) -> Self {
        Self { seen: HashMap::new(), single: events <= 1 }
    }

    /// Remembers the id as the one at `place`; gives the first of that id when there was one.
    pub(super) fn see(&mut self, id: &EventId, place: usize) -> Option<First> {
        if self.single {
            return None;
        }
        if let Some(first) = self.seen.get(id) {
            return Some(*first);
        }
        self.seen.insert(id.clone(), First::Here(place));
        None
    }

    /// What was being published has ended.
    pub(super) fn settle(&mut self, outcomes: &[Outcome]) {
        for first in self.seen.values_mut() {
            if let First::Here(place) = *first
                && let Some(outcome) = outcomes.get(place)
            {
                *first = First::Earlier(*outcome);
            }
        }
    }
}
