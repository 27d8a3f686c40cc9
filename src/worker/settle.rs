//! What follows a write that ended well. Invariant, in this order: the transaction is committed (or the dead letter
//! acknowledged), then the offset is stored, then the progress is noted unless the transaction held it. A crash between any
//! two repeats work that the database absorbs, and never skips any.

use std::collections::HashMap;
use std::sync::Arc;

use super::batch::Part;
use super::offsets::{Generation, Offsets};
use crate::domain::time::Timestamp;
use crate::kafka::{Partition, Stored};
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
    /// What the write under way holds in its transaction.
    promised: Option<i64>,
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
        self.standings.insert(partition, Standing { settled: None, promised: None, noted: None });
    }

    /// A partition is ours no more.
    pub fn revoke(&mut self, partition: &Partition) {
        self.standings.remove(partition);
    }

    /// The progress that holds once the decodable records of a batch are stored, for its transaction; nothing for a partition
    /// whose gap stays open.
    pub fn promise(&mut self, parts: &[Part], offsets: &Offsets) -> Vec<Progress> {
        let mut promised = Vec::with_capacity(parts.len());
        for part in parts {
            let Some(standing) = self.standings.get_mut(&part.partition) else { continue };
            standing.promised = None;
            let stored: Vec<i64> =
                part.records.iter().filter(|record| record.event.is_ok()).map(|record| record.origin.offset).collect();
            let next = offsets.next_if_done(&part.partition, part.generation, &stored);
            let Some(mark) = next.and_then(|next| mark(part, next, standing.settled)) else { continue };
            standing.promised = Some(mark.next_offset);
            promised.push(progress(&part.partition, mark));
        }
        promised
    }

    /// A part came to its end: what to store at the log. `noted` tells whether its promise is in the database.
    pub fn done(&mut self, part: &Part, noted: bool, offsets: &mut Offsets) -> Option<Stored> {
        offsets.done(&part.partition, part.generation, part.records.iter().map(|record| record.origin.offset));
        self.settle(part, part.generation, noted, offsets)
    }

    fn settle(&mut self, part: &Part, generation: Generation, noted: bool, offsets: &Offsets) -> Option<Stored> {
        if offsets.generation(&part.partition) != Some(generation) {
            return None;
        }
        let standing = self.standings.get_mut(&part.partition)?;
        let promised = standing.promised.take();
        if noted {
            standing.noted = promised.or(standing.noted);
        }
        let next = offsets.next(&part.partition)?;
        let before = standing.settled.map(|mark| mark.next_offset);
        standing.settled = mark(part, next, standing.settled);
        let moved = before != Some(next);
        let stored = || Stored {
            topic: Arc::clone(&part.partition.topic),
            partition: part.partition.partition,
            next_offset: next,
        };
        moved.then(stored)
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
    let time = below.and_then(|origin| Timestamp::from_micros(origin.timestamp_ms.saturating_mul(1_000)).ok());
    let record_time = time.into_iter().chain(before.map(|mark| mark.record_time)).max()?;
    Some(Mark { next_offset: next, record_time })
}

fn progress(partition: &Partition, mark: Mark) -> Progress {
    Progress {
        topic: Arc::clone(&partition.topic),
        partition: partition.partition,
        next_offset: mark.next_offset,
        record_time: mark.record_time,
    }
}
