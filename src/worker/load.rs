//! A batch in the form the database takes: its events in one slice. Invariant: what goes in comes out again, in order, for
//! whoever has to settle it or try it again.

use super::batch::Part;
use super::decode::{NoEvent, Taken};
use crate::domain::event::Event;
use crate::kafka::Polled;

/// The parts of a batch, taken apart.
#[derive(Debug)]
pub struct Load {
    /// The events to write, in order.
    pub events: Vec<Event<'static>>,
    /// The records without an event: their place among the origins, and why.
    pub without: Vec<(usize, NoEvent)>,
    /// For each event, the place of its record among the origins.
    owners: Vec<usize>,
    origins: Vec<Polled>,
    /// Each part without its records, and how many they are.
    parts: Vec<(Part, usize)>,
}

impl Load {
    /// Takes parts apart.
    pub fn of(parts: Vec<Part>) -> Self {
        let records = parts.iter().map(|part| part.records.len()).sum();
        let mut load = Self {
            events: Vec::with_capacity(records),
            without: Vec::new(),
            owners: Vec::with_capacity(records),
            origins: Vec::with_capacity(records),
            parts: Vec::with_capacity(parts.len()),
        };
        for mut part in parts {
            let records = std::mem::take(&mut part.records);
            load.parts.push((part, records.len()));
            for Taken { origin, event } in records {
                let at = load.origins.len();
                load.origins.push(origin);
                match event {
                    Ok(event) => {
                        load.events.push(event);
                        load.owners.push(at);
                    }
                    Err(why) => load.without.push((at, why)),
                }
            }
        }
        load
    }

    /// Records of all parts.
    pub fn records(&self) -> usize {
        self.origins.len()
    }

    /// Whether several partitions share the batch.
    pub fn merged(&self) -> bool {
        self.parts.len() > 1
    }

    /// The record of an event.
    pub fn origin_of(&self, event: usize) -> &Polled {
        &self.origins[self.owners[event]]
    }

    /// A record by its place.
    pub fn origin(&self, at: usize) -> &Polled {
        &self.origins[at]
    }

    /// The parts as they were.
    pub fn into_parts(self) -> Vec<Part> {
        let mut events = self.events.into_iter();
        let mut without = self.without.into_iter().peekable();
        let mut origins = self.origins.into_iter().enumerate();
        let mut next = |(at, origin): (usize, Polled)| {
            let event = match without.next_if(|(bad, _)| *bad == at) {
                Some((_, why)) => Err(why),
                None => Ok(events.next()?),
            };
            Some(Taken { origin, event })
        };
        let parts = self.parts.into_iter().map(|(part, count)| {
            let records = origins.by_ref().take(count).filter_map(&mut next).collect();
            Part { records, ..part }
        });
        parts.collect()
    }
}
