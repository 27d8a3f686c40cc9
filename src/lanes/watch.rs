//! Tells the lanes what Postgres has, and Postgres who moved. Invariant: Postgres away or slow delays nothing but ways back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Lanes, Pins, StoredTo, metrics};
use crate::store::{LaneStore, StoredPartition};

/// Distance between looks. What an account sends between two of them, and what is on its way to Postgres, counts as waiting: with
/// the usual bound that is several thousand events a second.
const EVERY: Duration = Duration::from_millis(200);

/// Looks until `stop`; `instances` share the bound.
pub async fn watch(lanes: Lanes, store: LaneStore, instances: impl Fn() -> u64, stop: CancellationToken) {
    let mut watch = Watch { lanes, store, pins: Arc::default(), blind: false };
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        watch.lanes.divide_among(instances());
        watch.follow_pins();
        if stop.run_until_cancelled(watch.look()).await.is_none() {
            break;
        }
    }
    watch.note().await;
    watch.store.close().await;
}

struct Watch {
    lanes: Lanes,
    store: LaneStore,
    /// As they were at the last look.
    pins: Arc<Pins>,
    blind: bool,
}

impl Watch {
    fn follow_pins(&mut self) {
        if let Some(pins) = self.lanes.shared.pins.get().filter(|pins| !Arc::ptr_eq(pins, &self.pins)) {
            self.lanes.repinned(&self.pins, &pins);
            self.pins = pins;
        }
    }

    async fn look(&mut self) {
        let blind = match self.store.stored().await {
            Ok(partitions) => {
                let mut stored = StoredTo::default();
                for StoredPartition { topic, partition, next_offset, record_time } in partitions {
                    stored.add(topic, partition, next_offset, record_time);
                }
                self.lanes.settled(&stored, Instant::now());
                self.note().await;
                false
            }
            Err(error) => {
                if !self.blind {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "what is stored is not known: nobody comes back from the bulk lane");
                }
                true
            }
        };
        metrics::blind(blind);
        self.blind = blind;
    }

    async fn note(&self) {
        let moves = self.lanes.take_moves();
        if !moves.is_empty()
            && let Err(error) = self.store.note(&moves).await
        {
            tracing::debug!(%error, moves = moves.len(), "moves between lanes are noted later");
            self.lanes.give_back(moves);
        }
    }
}
