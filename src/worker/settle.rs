//! What follows a write that ended well. Invariant, in this order: the transaction is committed (or the dead letter
//! acknowledged), then the offset is stored, then the progress is noted unless the transaction held it. A crash between any
//! two repeats work that the database absorbs, and never skips any.

use std::collections::HashMap;
use std::sync::Arc;

use super::batch::Part;
use super::offsets::Offsets;
use crate::domain::time::Timestamp;
use crate::kafka::{Partition, Polled, Stored};
use crate::store::Progress;

#[derive(Debug, Clone, Copy)]
struct Mark {
    next_offset: i64,
    record_time: Timestamp,
}

/// How far one partition is settled, and how far the database knows of it.
#[derive(Debug)]
struct Standing {
    settled: Option<Mark>,
    /// What the database holds; starts at nothing with each assignment.
    noted: Option<i64>,
}

/// The standing of all partitions that are ours.
#[derive(Debug, Default)]
pub struct Settlement {
    standings: HashMap<Partition, Standing>,
}

impl Settlement {
    /// A partition became ours.
    pub fn assign(&mut self, partition: Partition) {
        self.standings.insert(partition, Standing { settled: None, noted: None });
    }

    /// A partition is ours no more.
    pub fn revoke(&mut self, partition: &Partition) {
        self.standings.remove(partition);
    }

    /// The first record of an assignment was polled: everything before it is settled. Without this a partition whose first
    /// records wait for a broken database would be unknown to readers, and their answers would look fresher than they are.
    pub fn begin(&mut self, partition: &Partition, first: &Polled) {
        let Some(standing) = self.standings.get_mut(partition).filter(|standing| standing.settled.is_none()) else {
            return;
        };
        if let Some(record_time) = time_of(first) {
            standing.settled = Some(Mark { next_offset: first.offset, record_time });
        }
    }

    /// The progress that holds once the decodable records of a batch are stored, for its transaction; nothing for a partition
    /// whose gap stays open. Other writes of a partition may be under way: each promises for itself.
    pub fn promise(&mut self, parts: &mut [Part], offsets: &Offsets) -> Vec<Progress> {
        let mut promised = Vec::with_capacity(parts.len());
        for part in parts {
            let Some(standing) = self.standings.get(&part.partition) else { continue };
            let stored: Vec<i64> =
                part.records.iter().filter(|record| record.event.is_ok()).map(|record| record.origin.offset).collect();
            let next = offsets.next_if_done(&part.partition, part.generation, &stored);
            let mark = next.and_then(|next| mark(part, next, standing.settled));
            part.promised = mark.map(|mark| mark.next_offset);
            promised.extend(mark.map(|mark| progress(&part.partition, mark)));
        }
        promised
    }

    /// A part came to its end: what to store at the log. `noted` tells whether its promise is in the database.
    pub fn done(&mut self, part: &Part, noted: bool, offsets: &mut Offsets) -> Option<Stored> {
        offsets.done(&part.partition, part.generation, part.records.iter().map(|record| record.origin.offset));
        if offsets.generation(&part.partition) != Some(part.generation) {
            return None;
        }
        let standing = self.standings.get_mut(&part.partition)?;
        if noted {
            standing.noted = standing.noted.max(part.promised);
        }
        let next = offsets.next(&part.partition)?;
        let before = standing.settled.map(|mark| mark.next_offset);
        standing.settled = mark(part, next, standing.settled);
        let moved = before != Some(next);
        moved.then(|| Stored { partition: part.partition.clone(), next_offset: next })
    }

    /// Progress that the database does not have yet.
    pub fn owed(&self) -> Vec<Progress> {
        let behind = |standing: &Standing| standing.settled.filter(|mark| standing.noted < Some(mark.next_offset));
        self.standings
            .iter()
            .filter_map(|(partition, standing)| behind(standing).map(|mark| progress(partition, mark)))
            .collect()
    }

    /// The database has this progress now.
    pub fn noted(&mut self, progress: &[Progress]) {
        for progress in progress {
            let partition = Partition { topic: Arc::clone(&progress.topic), partition: progress.partition };
            if let Some(standing) = self.standings.get_mut(&partition) {
                standing.noted = standing.noted.max(Some(progress.next_offset));
            }
        }
    }
}

/// The mark at `next`: its time is that of the last record of the part below it, or an earlier mark's when that is later.
fn mark(part: &Part, next: i64, before: Option<Mark>) -> Option<Mark> {
    let below = part.records.iter().rev().map(|record| &record.origin).find(|origin| origin.offset < next);
    let time = below.and_then(time_of);
    let record_time = time.into_iter().chain(before.map(|mark| mark.record_time)).max()?;
    Some(Mark { next_offset: next, record_time })
}

fn time_of(record: &Polled) -> Option<Timestamp> {
    Timestamp::from_micros(record.timestamp_ms.saturating_mul(1_000)).ok()
}

fn progress(partition: &Partition, mark: Mark) -> Progress {
    Progress {
        topic: Arc::clone(&partition.topic),
        partition: partition.partition,
        next_offset: mark.next_offset,
        record_time: mark.record_time,
    }
}
