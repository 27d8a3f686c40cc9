//! What the lanes say about themselves. No account is a label: who moved is in the log and in `account_lanes`.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Move;
use crate::domain::lane::Lane;
use crate::telemetry::metrics::{int_counter, int_counter_vec, int_gauge, int_gauge_vec};

static ACCOUNTS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    int_gauge_vec(
        "weir_lane_accounts",
        "Accounts that this instance sends by a lane other than the standard one. Standing high: raise the worker's share.",
        &["lane"],
    )
});

static MOVES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_lane_moves_total",
        "Accounts that changed their lane, by the lane they went to. To and fro: raise WEIR_LANE_BACKLOG or pin the account.",
        &["to"],
    )
});

static FROZEN: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge("weir_lane_frozen", "1 while nobody changes lanes because Postgres does not say what is stored.")
});

static UNWATCHED: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter(
        "weir_lane_unwatched_total",
        "Requests whose backlog was not counted because too many accounts have one. Any: the worker is far behind.",
    )
});

pub(super) fn moved(moved: &Move) {
    MOVES.with_label_values(&[moved.lane.as_str()]).inc();
    tracing::info!(account.id = %moved.account, lane = %moved.lane, backlog = moved.backlog, "an account changed its lane");
}

pub(super) fn standing(bulk: usize, frozen: bool) {
    ACCOUNTS.with_label_values(&[Lane::Bulk.as_str()]).set(i64::try_from(bulk).unwrap_or(i64::MAX));
    FROZEN.set(i64::from(frozen));
}

pub(super) fn unwatched() {
    UNWATCHED.inc();
}
