//! Which lane an account's events take. Invariant: a backlog of more than [`Settings::backlog`] records of one account stands in
//! front of no small account: past that the account takes the bulk lane, until it has had little waiting for a while. While
//! nobody can say what is stored, nobody is moved.
//!
//! Each instance counts what it published itself, hence its part of the bound; `app` tells it what Postgres has.

mod backlog;
mod metrics;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::{KafkaConfig, LaneConfig};
use crate::domain::id::AccountId;
use crate::domain::lane::Lane;
use crate::domain::time::Timestamp;
use crate::kafka::Placement;

use backlog::Backlog;

/// Accounts with a backlog that are watched at a time; more stay in the standard lane.
const MAX_ACCOUNTS: usize = 50_000;

/// Moves that wait to be noted; older ones are forgotten.
const MAX_MOVES: usize = 1_000;

/// When accounts move.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Records of an account, over all instances, past which it takes the bulk lane.
    pub backlog: u64,
    /// How long it must have had less than a quarter of that before it goes back.
    pub quiet: Duration,
    /// API processes among which the bound is divided.
    pub instances: u64,
}

/// An account that changed its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Who.
    pub account: AccountId,
    /// Where it is now.
    pub lane: Lane,
    /// Since when.
    pub since: Timestamp,
    /// Its backlog on this instance then.
    pub backlog: u64,
}

/// First offset of a partition that may not be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Kafka topic.
    pub topic: String,
    /// Partition within the topic.
    pub partition: i32,
    /// Everything before it is stored or set aside.
    pub next_offset: i64,
}

/// The lanes and who is in which.
#[derive(Debug)]
pub struct Lanes {
    topics: [Arc<str>; 2],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    tracks: HashMap<AccountId, Track>,
    pins: HashMap<AccountId, Lane>,
    /// What is stored is not known: nobody moves.
    frozen: bool,
    moves: VecDeque<Move>,
    bulk: usize,
}

#[derive(Debug)]
struct Track {
    backlog: Backlog,
    lane: Lane,
    calm_since: Option<Instant>,
}

impl Settings {
    /// This instance's part of the bound.
    fn part(&self) -> u64 {
        (self.backlog / self.instances.max(1)).max(1)
    }
}

impl Lanes {
    /// Everybody in the standard lane, until something is known of what is stored.
    pub fn new(kafka: &KafkaConfig, config: &LaneConfig) -> Self {
        let settings =
            Settings { backlog: config.lane_backlog, quiet: config.quiet(), instances: u64::from(config.instances) };
        let (tracks, pins) = (HashMap::new(), HashMap::new());
        let state = State { settings, tracks, pins, frozen: true, moves: VecDeque::new(), bulk: 0 };
        Self { topics: [kafka.kafka_topic.as_str().into(), kafka.bulk_topic().into()], state: Mutex::new(state) }
    }

    /// The topic of a lane.
    pub fn topic(&self, lane: Lane) -> &Arc<str> {
        match lane {
            Lane::Standard => &self.topics[0],
            Lane::Bulk => &self.topics[1],
        }
    }

    /// The lane of an account now.
    pub fn of(&self, account: &AccountId) -> Lane {
        let state = self.state.lock();
        let pinned = state.pins.get(account).copied();
        pinned.or_else(|| state.tracks.get(account).map(|track| track.lane)).unwrap_or(Lane::Standard)
    }

    /// The log has these records of the account.
    pub fn published(
        &self,
        account: &AccountId,
        lane: Lane,
        placements: impl Iterator<Item = Placement>,
        now: Timestamp,
    ) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if !state.tracks.contains_key(account) {
            if state.tracks.len() >= MAX_ACCOUNTS {
                return metrics::unwatched();
            }
            let track = Track { backlog: Backlog::default(), lane: Lane::Standard, calm_since: None };
            state.tracks.insert(account.clone(), track);
        }
        let Some(track) = state.tracks.get_mut(account) else { return };
        placements.for_each(|placement| track.backlog.add(lane, placement.partition, placement.offset));
        let piles_up = track.lane == Lane::Standard && track.backlog.records() > state.settings.part();
        if piles_up && !state.frozen && !state.pins.contains_key(account) {
            track.lane = Lane::Bulk;
            track.calm_since = None;
            let backlog = track.backlog.records();
            state.note(Move { account: account.clone(), lane: Lane::Bulk, since: now, backlog });
        }
    }

    /// What is stored by now, and which accounts an operator has pinned to which lane.
    pub fn settled(&self, settled: &[Settled], pins: HashMap<AccountId, Lane>, at: Instant, now: Timestamp) {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.frozen = false;
        state.pins = pins;
        let ours = settled.iter().filter_map(|settled| {
            let lane = Lane::ALL.into_iter().find(|lane| *settled.topic == **self.topic(*lane))?;
            Some((lane, settled.partition, settled.next_offset))
        });
        let ours: Vec<_> = ours.collect();
        let settings = state.settings;
        let mut back = Vec::new();
        state.tracks.retain(|account, track| {
            for (lane, partition, next_offset) in &ours {
                track.backlog.settle(*lane, *partition, *next_offset);
            }
            if track.is_calm(settings, at) && !state.pins.contains_key(account) {
                track.lane = Lane::Standard;
                let backlog = track.backlog.records();
                back.push(Move { account: account.clone(), lane: Lane::Standard, since: now, backlog });
            }
            track.lane == Lane::Bulk || track.backlog.records() > 0
        });
        back.into_iter().for_each(|moved| state.note(moved));
        let pinned = state.pins.values().filter(|lane| **lane == Lane::Bulk).count();
        let unpinned =
            |(account, track): &(&AccountId, &Track)| track.lane == Lane::Bulk && !state.pins.contains_key(*account);
        state.bulk = pinned + state.tracks.iter().filter(unpinned).count();
        metrics::standing(state.bulk, state.frozen);
    }

    /// What is stored cannot be told: everybody stays where it is.
    pub fn freeze(&self) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.frozen, true) {
            metrics::standing(state.bulk, true);
        }
    }

    /// Moves that nobody has noted yet.
    pub fn take_moves(&self) -> Vec<Move> {
        self.state.lock().moves.drain(..).collect()
    }
}

impl State {
    fn note(&mut self, moved: Move) {
        metrics::moved(&moved);
        if self.moves.len() == MAX_MOVES {
            self.moves.pop_front();
        }
        self.moves.push_back(moved);
    }
}

impl Track {
    /// Whether an account of the bulk lane has had little waiting for long enough.
    fn is_calm(&mut self, settings: Settings, at: Instant) -> bool {
        if self.lane == Lane::Standard {
            return false;
        }
        if self.backlog.records().saturating_mul(4) >= settings.part() {
            self.calm_since = None;
            return false;
        }
        let since = *self.calm_since.get_or_insert(at);
        at.saturating_duration_since(since) >= settings.quiet
    }
}

#[cfg(test)]
mod tests;
