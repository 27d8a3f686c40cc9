//! The strands of a lane: what each account has in each partition, waiting and being written. Invariant: a strand is in the ring
//! exactly while it has records and none of them is being written, and the sums are those of the strands in the ring.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::decode::Taken;
use super::share::{Share, Turn, Visit};
use crate::domain::id::AccountId;
use crate::kafka::Partition;

/// Names a strand; never used twice.
pub type StrandId = u64;

/// How heavy accounts are when they share.
#[derive(Clone)]
pub struct Weights(Arc<dyn Fn(&AccountId) -> u64 + Send + Sync>);

impl Weights {
    /// Weights by account, at least 1; asked at every visit, so it must be quick.
    pub fn new(of: impl Fn(&AccountId) -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(of))
    }

    /// An account's weight; 1 for records that nobody can be named for.
    pub fn of(&self, account: Option<&AccountId>) -> u64 {
        account.map_or(1, |account| (self.0)(account).max(1))
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self::new(|_| 1)
    }
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Weights(…)")
    }
}

/// What one account has in one partition. Records that hold no event share a strand, so that waiting for their dead letters
/// holds no account's events.
#[derive(Debug)]
pub struct Strand {
    partition: Partition,
    account: Option<AccountId>,
    records: VecDeque<(Instant, Taken)>,
    bytes: usize,
    /// Since when its head has waited, while it is in the ring.
    ready_since: Option<Instant>,
    /// The log's time of the first record being written.
    writing: Option<i64>,
}

impl Strand {
    /// The partition.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The account, unless its records hold no events.
    pub fn account(&self) -> Option<&AccountId> {
        self.account.as_ref()
    }

    /// The next record.
    pub fn peek(&self) -> Option<&Taken> {
        self.records.front().map(|(_, record)| record)
    }

    /// Takes the next record.
    pub fn take(&mut self) -> Option<Taken> {
        let (_, record) = self.records.pop_front()?;
        self.bytes -= record.bytes();
        Some(record)
    }

    /// A record of it goes into a write; whether it is the first one.
    pub fn begin_writing(&mut self, record: &Taken) -> bool {
        let first = self.writing.is_none();
        self.writing.get_or_insert(record.origin.timestamp_ms);
        first
    }
}

/// All strands of a lane.
#[derive(Debug, Default)]
pub struct Strands {
    strands: HashMap<StrandId, Strand>,
    index: HashMap<Partition, HashMap<Option<AccountId>, StrandId>>,
    share: Share<StrandId>,
    /// The ring by age.
    ages: BTreeSet<(Instant, StrandId)>,
    events: usize,
    bytes: usize,
    named: StrandId,
}

impl Strands {
    /// Records in the ring.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Their value bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when the longest waiting record of the ring has waited.
    pub fn oldest(&self) -> Option<Instant> {
        self.ages.first().map(|(since, _)| *since)
    }

    /// Records that wait, in the ring or behind a write.
    pub fn waiting(&self) -> usize {
        self.strands.values().map(|strand| strand.records.len()).sum()
    }

    /// The log's time of the oldest record of each strand that is not done.
    pub fn oldest_ms(&self) -> impl Iterator<Item = (&Partition, i64)> {
        let of = |strand: &Strand| strand.writing.or(strand.peek().map(|record| record.origin.timestamp_ms));
        self.strands.values().filter_map(move |strand| of(strand).map(|ms| (&strand.partition, ms)))
    }

    /// A record joins the end of its strand.
    pub fn push(&mut self, partition: &Partition, record: Taken, now: Instant) {
        let id = self.of(partition, &record);
        let Some(strand) = self.strands.get_mut(&id) else { return };
        let bytes = record.bytes();
        strand.bytes += bytes;
        strand.records.push_back((now, record));
        if strand.ready_since.is_some() {
            self.events += 1;
            self.bytes += bytes;
        } else if strand.writing.is_none() {
            self.enter(id);
        }
    }

    /// Records go back to the heads of their strands.
    pub fn put_back(&mut self, partition: &Partition, records: Vec<Taken>, since: Instant) {
        for record in records.into_iter().rev() {
            let id = self.of(partition, &record);
            if let Some(strand) = self.strands.get_mut(&id) {
                strand.bytes += record.bytes();
                strand.records.push_front((since, record));
            }
        }
    }

    /// Visits the ring; strands that gave something are out of it afterwards, until [`Strands::release`].
    pub fn draw(&mut self, mut visit: impl FnMut(StrandId, &mut Strand, Turn) -> Visit) {
        let (strands, events, bytes) = (&mut self.strands, &mut self.events, &mut self.bytes);
        let mut gave = HashSet::new();
        self.share.draw(|id, turn| {
            let Some(strand) = strands.get_mut(&id) else { return Visit::Emptied };
            let before = (strand.records.len(), strand.bytes);
            let visited = visit(id, strand, turn);
            *events -= before.0 - strand.records.len();
            *bytes -= before.1 - strand.bytes;
            if strand.writing.is_some() {
                gave.insert(id);
            }
            visited
        });
        gave.iter().for_each(|id| self.exit(*id));
        self.share.leave(|id| gave.contains(&id));
    }

    /// The write of these strands has ended; those that have more are in the ring again.
    pub fn release(&mut self, strands: &[StrandId]) {
        for id in strands {
            let Some(strand) = self.strands.get_mut(id) else { continue };
            strand.writing = None;
            if strand.records.is_empty() {
                self.remove(*id);
            } else {
                self.enter(*id);
            }
        }
    }

    /// Forgets all that a partition holds.
    pub fn drop_partition(&mut self, partition: &Partition) {
        for id in self.index.remove(partition).into_iter().flat_map(HashMap::into_values) {
            self.exit(id);
            self.strands.remove(&id);
            self.share.forget(id);
        }
        let strands = &self.strands;
        self.share.leave(|id| !strands.contains_key(&id));
    }

    fn of(&mut self, partition: &Partition, record: &Taken) -> StrandId {
        let account = record.event.as_ref().ok().map(|event| event.account_id.clone());
        let known = self.index.get(partition).and_then(|accounts| accounts.get(&account));
        if let Some(id) = known {
            return *id;
        }
        self.named += 1;
        let id = self.named;
        self.index.entry(partition.clone()).or_default().insert(account.clone(), id);
        let (partition, records) = (partition.clone(), VecDeque::new());
        self.strands.insert(id, Strand { partition, account, records, bytes: 0, ready_since: None, writing: None });
        id
    }

    fn enter(&mut self, id: StrandId) {
        let Some(strand) = self.strands.get_mut(&id) else { return };
        let Some((since, _)) = strand.records.front() else { return };
        strand.ready_since = Some(*since);
        self.events += strand.records.len();
        self.bytes += strand.bytes;
        self.ages.insert((*since, id));
        self.share.join(id);
    }

    /// Takes a strand out of the sums; the ring itself is left in one go, see [`Share::leave`].
    fn exit(&mut self, id: StrandId) {
        let Some(strand) = self.strands.get_mut(&id) else { return };
        if let Some(since) = strand.ready_since.take() {
            self.ages.remove(&(since, id));
            self.events -= strand.records.len();
            self.bytes -= strand.bytes;
        }
    }

    fn remove(&mut self, id: StrandId) {
        self.share.forget(id);
        let Some(strand) = self.strands.remove(&id) else { return };
        if let Some(accounts) = self.index.get_mut(&strand.partition) {
            accounts.remove(&strand.account);
        }
    }
}
