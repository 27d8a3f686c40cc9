//! One client's stream, frame by frame. Invariant: the id of a frame covers exactly what was sent up to it, so that resuming
//! from it neither misses nor repeats anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::catch_up;
use super::frame::{End, Frame, Passing};
use super::places::{CatchUp, Leave, Place};
use super::position::Position;
use super::tail::{Entry, Tail};
use super::watcher::Watcher;
use crate::config::KafkaConfig;
use crate::domain::lane::Lane;
use crate::domain::partitioner::Topics;
use crate::domain::receipt::ReceiptSealer;
use crate::kafka::{Follower, Partition};

/// What every session of a process shares.
pub(super) struct Common {
    pub(super) tail: Arc<Tail>,
    pub(super) topics: Topics,
    pub(super) sealer: ReceiptSealer,
    pub(super) config: KafkaConfig,
}

/// When a session ends, and how often it says that it lives.
pub(super) struct Terms {
    pub(super) until: Instant,
    pub(super) end: End,
    pub(super) closing: CancellationToken,
    pub(super) heartbeat: Duration,
}

/// A stream of one account's events.
pub struct Session {
    common: Arc<Common>,
    watcher: Arc<Watcher>,
    events: mpsc::Receiver<Passing>,
    partitions: Vec<Partition>,
    position: Position,
    /// What to catch up with before the tail serves all.
    behind: Vec<(Partition, i64)>,
    /// Its turn to do so.
    leave: Leave,
    catching_up: Option<Follower>,
    /// The first frame, and whether the log has lost what the client asked for.
    greeting: Option<bool>,
    known_topics: u64,
    beat: Interval,
    terms: Terms,
    over: bool,
    _place: Place,
}

enum Next {
    Event(Option<Passing>),
    Beat,
    Leave(Option<CatchUp>),
    End(End),
}

impl Session {
    pub(super) fn new(
        common: &Arc<Common>,
        (watcher, events): (Arc<Watcher>, mpsc::Receiver<Passing>),
        (entry, partitions): (Entry, Vec<Partition>),
        terms: Terms,
        place: Place,
    ) -> Self {
        let mut beat = interval_at(Instant::now() + terms.heartbeat, terms.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            common: Arc::clone(common),
            watcher,
            events,
            partitions,
            position: entry.start,
            behind: entry.behind,
            leave: place.catch_up(),
            catching_up: None,
            greeting: Some(entry.lost),
            known_topics: common.topics.generation(),
            beat,
            terms,
            over: false,
            _place: place,
        }
    }

    /// The next frame; `None` after the last. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Frame> {
        if self.over {
            return None;
        }
        if let Some(lost) = self.greeting.take() {
            let id = self.id();
            return Some(if lost { Frame::gap(id.clone(), &id, None) } else { Frame::heartbeat(id) });
        }
        loop {
            if self.events.is_empty() && self.watcher.has_gap() {
                return Some(self.tell_gap());
            }
            match self.wait().await {
                Next::Event(Some(passing)) => {
                    self.watcher.taken(&passing);
                    self.position.advance(&passing.partition, passing.offset + 1);
                    let lane = Lane::of_topic(&passing.partition.topic);
                    if let Some(frame) = Frame::event(self.id(), lane, &passing.record) {
                        return Some(frame);
                    }
                }
                Next::Beat if self.known_topics != self.common.topics.generation() => {
                    return Some(self.last(End::TopicsChanged));
                }
                Next::Beat => return Some(self.tell_life()),
                Next::Leave(leave) => {
                    if self.catch_up(leave).is_none() {
                        return Some(self.last(End::Log));
                    }
                }
                Next::Event(None) => return Some(self.last(End::Log)),
                Next::End(end) => return Some(self.last(end)),
            }
        }
    }

    async fn wait(&mut self) -> Next {
        let must_catch_up = !self.behind.is_empty();
        tokio::select! {
            biased;
            () = self.terms.closing.cancelled() => Next::End(End::Shutdown),
            end = self.watcher.ended() => Next::End(end),
            () = sleep_until(self.terms.until) => Next::End(self.terms.end),
            passing = self.events.recv() => Next::Event(passing),
            _ = self.beat.tick() => Next::Beat,
            leave = &mut self.leave, if must_catch_up => Next::Leave(leave),
        }
    }

    fn catch_up(&mut self, leave: Option<CatchUp>) -> Option<()> {
        let (common, behind) = (&self.common, std::mem::take(&mut self.behind));
        let started = catch_up::start(&common.config, &common.tail, &self.watcher, behind, leave?);
        self.catching_up = Some(started.inspect_err(|error| tracing::error!(%error, "no catch-up")).ok()?);
        Some(())
    }

    fn tell_life(&mut self) -> Frame {
        // Read before the queue is looked at: what was pushed before then is in the queue or was sent.
        let progress = self.common.tail.progress(&self.watcher);
        if self.events.is_empty() && !self.watcher.has_gap() {
            self.position.advance_all(&progress);
        }
        Frame::heartbeat(self.id())
    }

    fn tell_gap(&mut self) -> Frame {
        let after = self.id();
        let (dropped, position) = self.common.tail.close_gap(&self.watcher);
        self.position.advance_all(&position);
        Frame::gap(self.id(), &after, Some(dropped))
    }

    fn last(&mut self, end: End) -> Frame {
        self.over = true;
        Frame::end(self.id(), end)
    }

    fn id(&self) -> String {
        self.position.seal(&self.common.sealer, &self.watcher.account)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.watcher.end(End::Shutdown);
        self.common.tail.leave(&self.watcher, &self.partitions);
    }
}
