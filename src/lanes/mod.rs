//! Which lane an account's events take. Invariant: past [`LaneConfig::lane_backlog`] records of its own that wait for Postgres an
//! account takes the bulk lane, until it has had little waiting for a while, so that no more than that of it stands in front of a
//! small account; an operator's pin beats the count.
//!
//! Each instance counts what it published itself, hence its part of the bound; [`watch`] tells it how far Postgres is. While
//! Postgres says nothing the count only grows, so accounts still leave the standard lane and none comes back.

mod backlog;
mod history;
mod metrics;
mod pins;
mod publishing;
mod watch;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::LaneConfig;
use crate::domain::id::AccountId;
use crate::domain::lane::{Lane, LaneMove as Move, MoveReason};
use crate::domain::time::Timestamp;
use crate::operators::Kept;

use backlog::Backlog;

pub use backlog::StoredTo;
pub use history::History;
pub use pins::{Pin, Pins};
pub use publishing::Publishing;
pub use watch::watch;

/// Accounts with a backlog that are counted at a time; more stay where they are.
const MAX_ACCOUNTS: usize = 50_000;

/// Parts of the count with a lock each: a look at all accounts holds up no more than one part.
const SHARDS: usize = 16;

/// Moves that wait to be noted; older ones are forgotten.
const MAX_MOVES: usize = 1_000;

/// The lanes and who is in which, for what this instance publishes. Cheap to clone.
#[derive(Clone)]
pub struct Lanes {
    shared: Arc<Shared>,
}

struct Shared {
    instance: Arc<str>,
    backlog: u64,
    quiet: Duration,
    instances: AtomicU64,
    hasher: RandomState,
    shards: [Mutex<HashMap<AccountId, Track>>; SHARDS],
    pins: Kept<Pins>,
    moves: Mutex<VecDeque<Move>>,
}

#[derive(Debug, Default)]
struct Track {
    backlog: Backlog,
    /// Records that are being published.
    under_way: u64,
    bulk: bool,
    calm_since: Option<Instant>,
}

/// Where an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The lane its next event takes here.
    pub lane: Lane,
    /// The lane an operator chose.
    pub pinned: Option<Lane>,
    /// Records that this instance publishes or published and that wait for Postgres, as far as known.
    pub backlog: u64,
}

impl Lanes {
    /// Everybody in the standard lane but those who are pinned.
    pub fn new(config: &LaneConfig, pins: Kept<Pins>) -> Self {
        metrics::announce();
        let shared = Shared {
            instance: uuid::Uuid::new_v4().simple().to_string().into(),
            backlog: config.lane_backlog,
            quiet: config.quiet(),
            instances: AtomicU64::new(1),
            hasher: RandomState::new(),
            shards: Default::default(),
            pins,
            moves: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Lanes without operators.
    pub fn unpinned(config: &LaneConfig) -> Self {
        Self::new(config, Kept::fixed(Pins::default()))
    }

    /// The lane of an account's next event.
    pub fn of(&self, account: &AccountId) -> Lane {
        self.pin(account).unwrap_or_else(|| self.counted(account))
    }

    /// Where an account stands.
    pub fn standing(&self, account: &AccountId) -> Standing {
        let backlog = self.shard(account).lock().get(account).map_or(0, Track::waiting);
        Standing { lane: self.of(account), pinned: self.pin(account), backlog }
    }

    /// So many records of the account are about to be published: they count from now on, and all take the lane they are told.
    pub fn publishing(&self, account: &AccountId, records: usize) -> Publishing {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        let before = self.count(account, |track| track.under_way += records);
        let lane = self.pin(account).or(before).unwrap_or(Lane::Standard);
        Publishing::new(self.clone(), account.clone(), before.map(|_| records), lane)
    }

    /// The bound is divided among so many instances from now on.
    fn divide_among(&self, instances: u64) {
        self.shared.instances.store(instances.max(1), Ordering::Relaxed);
    }

    /// This instance's part of the bound.
    fn part(&self) -> u64 {
        (self.shared.backlog / self.shared.instances.load(Ordering::Relaxed)).max(1)
    }

    fn shard(&self, account: &AccountId) -> &Mutex<HashMap<AccountId, Track>> {
        // Below the number of shards, so it fits; the remainder of a hash is as random as the hash.
        let at = self.shared.hasher.hash_one(account) % SHARDS as u64;
        &self.shared.shards[usize::try_from(at).unwrap_or(0)]
    }

    fn pin(&self, account: &AccountId) -> Option<Lane> {
        self.shared.pins.get()?.get(account).copied()
    }

    /// The lane by the account's backlog alone.
    fn counted(&self, account: &AccountId) -> Lane {
        self.shard(account).lock().get(account).map_or(Lane::Standard, Track::lane)
    }

    /// Changes what is counted of an account, which may move it; the lane it had before. `None`: it is not counted, there are too
    /// many.
    fn count(&self, account: &AccountId, change: impl FnOnce(&mut Track)) -> Option<Lane> {
        let mut tracks = self.shard(account).lock();
        if tracks.len() >= MAX_ACCOUNTS / SHARDS && !tracks.contains_key(account) {
            metrics::uncounted();
            return None;
        }
        let track = tracks.entry(account.clone()).or_default();
        let before = track.lane();
        change(track);
        if !track.bulk && track.waiting() > self.part() && self.pin(account).is_none() {
            (track.bulk, track.calm_since) = (true, None);
            self.note(account, Lane::Bulk, MoveReason::Backlog, track.waiting());
        }
        Some(before)
    }

    /// Takes out of the count what Postgres has, and brings those back who have had little waiting for long enough.
    fn settled(&self, stored: &StoredTo, now: Instant) {
        let calm_below = self.part().div_ceil(4);
        let mut in_bulk = 0;
        for shard in &self.shared.shards {
            shard.lock().retain(|account, track| {
                track.backlog.settle(stored, now);
                if track.bulk && track.is_calm(calm_below, self.shared.quiet, now) && self.pin(account).is_none() {
                    track.bulk = false;
                    self.note(account, Lane::Standard, MoveReason::Calm, track.waiting());
                }
                in_bulk += usize::from(track.bulk && self.pin(account).is_none());
                track.bulk || track.waiting() > 0
            });
        }
        let pinned = self.shared.pins.get().map_or(0, |pins| pins.values().filter(|lane| **lane == Lane::Bulk).count());
        metrics::in_bulk(in_bulk + pinned);
    }

    /// Notes whom a change of pins has moved.
    fn repinned(&self, before: &Pins, after: &Pins) {
        for account in before.keys().chain(after.keys().filter(|account| !before.contains_key(*account))) {
            let counted = self.counted(account);
            let lane = |pins: &Pins| pins.get(account).copied().unwrap_or(counted);
            if lane(before) != lane(after) {
                let reason = if after.contains_key(account) { MoveReason::Pinned } else { MoveReason::Unpinned };
                self.note(account, lane(after), reason, self.standing(account).backlog);
            }
        }
    }

    fn note(&self, account: &AccountId, lane: Lane, reason: MoveReason, backlog: u64) {
        let (account, instance) = (account.clone(), Arc::clone(&self.shared.instance));
        let moved = Move { account, lane, since: Timestamp::now(), instance, reason, backlog };
        metrics::moved(&moved);
        let mut moves = self.shared.moves.lock();
        if moves.len() == MAX_MOVES {
            moves.pop_front();
        }
        moves.push_back(moved);
    }

    /// Moves that nobody has noted yet.
    fn take_moves(&self) -> Vec<Move> {
        self.shared.moves.lock().drain(..).collect()
    }

    /// Moves that could not be noted wait again, in front of later ones.
    fn give_back(&self, moves: Vec<Move>) {
        let mut waiting = self.shared.moves.lock();
        for moved in moves.into_iter().rev().take(MAX_MOVES - waiting.len().min(MAX_MOVES)) {
            waiting.push_front(moved);
        }
    }
}

impl Track {
    fn lane(&self) -> Lane {
        if self.bulk { Lane::Bulk } else { Lane::Standard }
    }

    fn waiting(&self) -> u64 {
        self.backlog.records() + self.under_way
    }

    /// Whether it has had less than that waiting for long enough.
    fn is_calm(&mut self, below: u64, quiet: Duration, now: Instant) -> bool {
        if self.waiting() >= below {
            self.calm_since = None;
            return false;
        }
        now.saturating_duration_since(*self.calm_since.get_or_insert(now)) >= quiet
    }
}

#[cfg(test)]
mod tests;
