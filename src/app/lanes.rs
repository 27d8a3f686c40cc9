//! Tells the lanes what Postgres has, and Postgres who moved. Invariant: Postgres away or slow delays nothing but moves.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::domain::lane::Lane;
use crate::domain::time::Timestamp;
use crate::ingest::lanes::{Lanes, Move, Settled};
use crate::store::lanes::{LaneEntry, LaneStore};

/// Distance between looks.
const EVERY: Duration = Duration::from_millis(250);

/// Looks until `stop`.
pub(super) async fn watch(lanes: Arc<Lanes>, store: LaneStore, stop: CancellationToken) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        look(&lanes, &store).await;
    }
    store.close().await;
}

async fn look(lanes: &Lanes, store: &LaneStore) {
    match store.view().await {
        Ok(view) => {
            let settled = view.stored.into_iter().map(|stored| Settled {
                topic: stored.topic,
                partition: stored.partition,
                next_offset: stored.next_offset,
            });
            let settled: Vec<_> = settled.collect();
            lanes.settled(&settled, view.pins, Instant::now().into_std(), Timestamp::now());
        }
        Err(error) => {
            tracing::debug!(%error, "what is stored is not known; lanes stay as they are");
            lanes.freeze();
        }
    }
    let entries: Vec<LaneEntry> = lanes.take_moves().into_iter().map(entry).collect();
    if !entries.is_empty()
        && let Err(error) = store.note(&entries).await
    {
        tracing::warn!(%error, moves = entries.len(), "the history of lanes misses moves");
    }
}

fn entry(moved: Move) -> LaneEntry {
    let reason = match moved.lane {
        Lane::Bulk => format!("{} records waited in the standard lane", moved.backlog),
        Lane::Standard => "little waited for long enough".to_owned(),
    };
    LaneEntry { account: moved.account, lane: moved.lane, since: moved.since, reason }
}
