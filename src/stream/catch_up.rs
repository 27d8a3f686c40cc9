//! From where a client left to where the tail is. Invariant: each partition is handed over once, at an offset the tail has not
//! passed, so between the two nothing is missing and nothing comes twice.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::frame::{End, Passing};
use super::places::CatchUp;
use super::tail::{Tail, select};
use super::watcher::Watcher;
use super::{StreamError, metrics};
use crate::config::KafkaConfig;
use crate::kafka::{Follower, Partition, Sighting, Turn};

/// Records between two tries to hand over, and two notes of how far we are.
const ROUND: u32 = 256;

/// How long a client may keep a full queue: there are few catch-ups, and others wait for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one catch-up may take; the client goes on from where it came to.
const DEADLINE: Duration = Duration::from_secs(300);

/// Pause before another look at a full queue.
const LOOK: Duration = Duration::from_millis(5);

struct Reader {
    tail: Arc<Tail>,
    watcher: Arc<Watcher>,
    /// Partitions not handed over yet, with their next offsets.
    left: HashMap<Partition, i64>,
    since_round: u32,
    until: Instant,
    _leave: CatchUp,
}

/// Starts catching up on a thread, which ends with the handle, with the hand-over, or by ending the watcher.
pub(super) fn start(
    config: &KafkaConfig,
    tail: &Arc<Tail>,
    watcher: &Arc<Watcher>,
    behind: Vec<(Partition, i64)>,
    leave: CatchUp,
) -> Result<Follower, StreamError> {
    let mut reader = Reader {
        tail: Arc::clone(tail),
        watcher: Arc::clone(watcher),
        left: behind.iter().cloned().collect(),
        since_round: 0,
        until: Instant::now() + DEADLINE,
        _leave: leave,
    };
    let follower = Follower::start(config, move |turn| reader.turn(turn)).map_err(StreamError::Follow)?;
    follower.follow(behind);
    metrics::caught_up();
    Ok(follower)
}

impl Reader {
    fn turn(&mut self, turn: Turn<'_>) -> ControlFlow<()> {
        if self.watcher.is_over() {
            return ControlFlow::Break(());
        }
        if Instant::now() >= self.until {
            self.watcher.end(End::Log);
            return ControlFlow::Break(());
        }
        match turn {
            Turn::Record(sighting) => self.record(sighting),
            Turn::Pause => self.hand_over(),
        }
    }

    fn record(&mut self, mut sighting: Sighting<'_>) -> ControlFlow<()> {
        let partition = Partition { topic: sighting.topic().into(), partition: sighting.partition() };
        let offset = sighting.offset();
        // Handed over already, or from before the place that was asked for.
        if self.left.get(&partition).is_none_or(|next| offset < *next) {
            return ControlFlow::Continue(());
        }
        if let Some(passing) = select(&mut sighting, &self.watcher.account, &self.watcher) {
            self.push(&passing)?;
        }
        self.left.insert(partition, offset + 1);
        self.since_round += 1;
        if self.since_round >= ROUND { self.hand_over() } else { ControlFlow::Continue(()) }
    }

    /// Waits for room: what was asked for must not be left out.
    fn push(&self, passing: &Passing) -> ControlFlow<()> {
        let begun = Instant::now();
        while !self.watcher.push(passing) {
            if self.watcher.is_over() {
                return ControlFlow::Break(());
            }
            if begun.elapsed() >= PATIENCE {
                self.watcher.end(End::TooSlow);
                return ControlFlow::Break(());
            }
            std::thread::sleep(LOOK);
        }
        ControlFlow::Continue(())
    }

    fn hand_over(&mut self) -> ControlFlow<()> {
        self.since_round = 0;
        let (tail, watcher) = (&self.tail, &self.watcher);
        self.left.retain(|partition, next| {
            watcher.reached(partition, *next);
            !tail.join(watcher, partition, *next)
        });
        if self.left.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
