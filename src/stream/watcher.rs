//! One client's queue. Invariant: of each partition it is offered every record from its floor on, in order; what does not fit is
//! counted, and nothing follows the first record left out until the client was told of the gap.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::frame::{End, Passing, StreamFilter};
use super::position::Position;
use crate::domain::event::Event;
use crate::domain::id::AccountId;
use crate::kafka::Partition;

/// Most events that wait for a client.
const MAX_EVENTS: usize = 1_024;

/// Most bytes that wait for a client.
const MAX_BYTES: usize = 1 << 20;

/// What the readers of the log know of a client.
pub(super) struct Watcher {
    pub(super) account: AccountId,
    pub(super) filter: StreamFilter,
    queue: mpsc::Sender<Passing>,
    bytes: AtomicUsize,
    state: Mutex<State>,
    end: OnceLock<End>,
    cut: CancellationToken,
}

#[derive(Default)]
struct State {
    /// Partitions the tail serves, each from this offset on.
    joined: HashMap<Partition, i64>,
    /// How far the catch-up has come in the others.
    reached: Position,
    dropped: u64,
}

impl Watcher {
    pub(super) fn new(account: AccountId, filter: StreamFilter) -> (Self, mpsc::Receiver<Passing>) {
        let (queue, events) = mpsc::channel(MAX_EVENTS);
        let watcher = Self {
            account,
            filter,
            queue,
            bytes: AtomicUsize::new(0),
            state: Mutex::default(),
            end: OnceLock::new(),
            cut: CancellationToken::new(),
        };
        (watcher, events)
    }

    /// The tail serves this partition from `floor` on.
    pub(super) fn join(&self, partition: &Partition, floor: i64) {
        self.state.lock().joined.insert(partition.clone(), floor);
    }

    /// A record of the tail. Never waits.
    pub(super) fn offer(&self, event: &Event<'_>, passing: &Passing) -> bool {
        let mut state = self.state.lock();
        let wanted = state.joined.get(&passing.partition).is_some_and(|floor| passing.offset >= *floor);
        if !wanted || !self.filter.takes(event) {
            return true;
        }
        if state.dropped > 0 || !self.push(passing) {
            state.dropped += 1;
            return false;
        }
        true
    }

    /// Puts an event into the queue, if there is room.
    pub(super) fn push(&self, passing: &Passing) -> bool {
        let bytes = passing.record.len();
        // A single event may be larger than the bound; it then waits alone.
        let before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let fits = (before == 0 || before + bytes <= MAX_BYTES) && self.queue.try_send(passing.clone()).is_ok();
        if !fits {
            self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
        fits
    }

    /// The client took an event out of the queue.
    pub(super) fn taken(&self, passing: &Passing) {
        self.bytes.fetch_sub(passing.record.len(), Ordering::AcqRel);
    }

    /// Notes how far the catch-up has come, after it pushed what lies before.
    pub(super) fn reached(&self, partition: &Partition, next: i64) {
        self.state.lock().reached.advance(partition, next);
    }

    /// How far everything that was pushed reaches; `next` are the next offsets of the tail, read before.
    pub(super) fn progress(&self, next: impl Fn(&Partition) -> Option<i64>) -> Position {
        let state = self.state.lock();
        let mut position = state.reached.clone();
        for (partition, floor) in &state.joined {
            position.advance(partition, next(partition).map_or(*floor, |next| next.max(*floor)));
        }
        position
    }

    /// Whether events were left out.
    pub(super) fn has_gap(&self) -> bool {
        self.state.lock().dropped > 0
    }

    /// How many events were left out; from now on they come again.
    pub(super) fn close_gap(&self) -> u64 {
        std::mem::take(&mut self.state.lock().dropped)
    }

    /// Ends the stream; the first reason stays.
    pub(super) fn end(&self, end: End) {
        self.end.get_or_init(|| end);
        self.cut.cancel();
    }

    /// Whether nobody reads any more.
    pub(super) fn is_over(&self) -> bool {
        self.cut.is_cancelled() || self.queue.is_closed()
    }

    /// Waits until the stream must end, and says why.
    pub(super) async fn ended(&self) -> End {
        self.cut.cancelled().await;
        self.end.get().copied().unwrap_or(End::Log)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::event::Channel;
    use crate::domain::id::EventId;
    use crate::domain::time::Timestamp;

    fn partition() -> Partition {
        Partition { topic: "t".into(), partition: 0 }
    }

    fn passing(offset: i64, bytes: usize) -> Passing {
        Passing { partition: partition(), offset, record: Bytes::from(vec![b'x'; bytes]) }
    }

    fn event(name: &'static str) -> Event<'static> {
        let now = Timestamp::from_unix_seconds(1).expect("time");
        Event {
            event_id: EventId::new("e").expect("id"),
            account_id: AccountId::new("a").expect("account"),
            event_name: name.into(),
            user_id: "u".into(),
            channel: Channel::Web,
            source: None,
            campaign_id: None,
            timestamp: now,
            tags: Vec::new(),
            value: None,
            schema_version: 1,
            metadata: None,
            received_at: now,
        }
    }

    #[test]
    fn records_below_the_floor_or_outside_the_filter_are_not_offered() {
        let filter = StreamFilter { event_name: Some("buy".into()), ..StreamFilter::default() };
        let (watcher, mut events) = Watcher::new(AccountId::new("a").expect("account"), filter);
        watcher.offer(&event("buy"), &passing(1, 1));
        watcher.join(&partition(), 5);
        for offset in 4..7 {
            watcher.offer(&event("buy"), &passing(offset, 1));
            watcher.offer(&event("view"), &passing(offset, 1));
        }
        assert_eq!(events.try_recv().expect("event").offset, 5);
        assert_eq!(events.try_recv().expect("event").offset, 6);
        assert!(events.try_recv().is_err() && !watcher.has_gap());
    }

    #[test]
    fn what_does_not_fit_opens_a_gap_that_nothing_slips_through() {
        let (watcher, mut events) = Watcher::new(AccountId::new("a").expect("account"), StreamFilter::default());
        watcher.join(&partition(), 0);
        assert!(watcher.offer(&event("n"), &passing(0, MAX_BYTES + 1)), "a large one waits alone");
        assert!(!watcher.offer(&event("n"), &passing(1, 1)));
        let first = events.try_recv().expect("event");
        watcher.taken(&first);
        assert!(!watcher.offer(&event("n"), &passing(2, 1)), "the gap is not told yet");
        assert_eq!(watcher.close_gap(), 2);
        assert!(watcher.offer(&event("n"), &passing(3, 1)) && !watcher.has_gap());
        assert_eq!(watcher.progress(|_| Some(4)).get(&partition()), Some(4));
    }
}
