//! What the lanes say about themselves. No account is a label: who moved is in the log and in `account_lanes`.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::Move;
use crate::domain::lane::Lane;
use crate::telemetry::metrics::{int_counter, int_counter_vec, int_gauge};

static BULK_ACCOUNTS: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge(
        "weir_lane_bulk_accounts",
        "Accounts that this instance sends by the bulk lane. Standing high: the workers need more room.",
    )
});

static MOVES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_lane_moves_total",
        "Accounts that changed their lane, by the lane they went to. To and fro: raise WEIR_LANE_BACKLOG or pin the account.",
        &["to"],
    )
});

static BLIND: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge(
        "weir_lane_blind",
        "1 while Postgres does not say what is stored: nobody comes back from the bulk lane. Look at Postgres.",
    )
});

static UNCOUNTED: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter(
        "weir_lane_uncounted_total",
        "Requests whose backlog was not counted because too many accounts have one. Any: the workers are far behind.",
    )
});

/// Shows everything at zero, before anything happens.
pub(super) fn announce() {
    Lane::ALL.into_iter().for_each(|lane| MOVES.with_label_values(&[lane.as_str()]).inc_by(0));
    BULK_ACCOUNTS.add(0);
    BLIND.add(0);
    UNCOUNTED.inc_by(0);
}

pub(super) fn moved(moved: &Move) {
    MOVES.with_label_values(&[moved.lane.as_str()]).inc();
    let (lane, reason, backlog) = (moved.lane.as_str(), moved.reason.as_str(), moved.backlog);
    tracing::info!(account.id = %moved.account, lane, reason, backlog, "an account changed its lane");
}

pub(super) fn in_bulk(accounts: usize) {
    BULK_ACCOUNTS.set(i64::try_from(accounts).unwrap_or(i64::MAX));
}

pub(super) fn blind(blind: bool) {
    BLIND.set(i64::from(blind));
}

pub(super) fn uncounted() {
    UNCOUNTED.inc();
}
