//! What following quotas tells operators.

use std::sync::LazyLock;

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge};

use super::fairness::Fairness;
use crate::store::ReadError;
use crate::telemetry::metrics::{gauge_vec, int_counter, int_counter_vec, int_gauge};

static BEHIND: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge(
        "weir_quotas_behind",
        "1 while quotas cannot be read and those last known hold (the defaults, after a start without Postgres); look at Postgres.",
    )
});

static VERSION: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge(
        "weir_quotas_version",
        "Version of the quotas this process holds; one that stays behind the others' does not follow: see its log.",
    )
});

static ACCOUNTS: LazyLock<IntGauge> =
    LazyLock::new(|| int_gauge("weir_quotas_accounts", "Accounts held to something else than the defaults."));

static CHANGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_quotas_changes_total",
        "Changes taken in, by how they were noticed. All by poll: words through Redis are lost, changes take up to a second longer.",
        &["heard"],
    )
});

static LEADS: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge(
        "weir_usage_leads",
        "1 on the instance that writes the minutes of use of all; none for a minute: look at Redis.",
    )
});

static ROLLED_UP: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter(
        "weir_usage_minutes_total",
        "Minutes of accounts written to usage_minutes; one is written again while it grows.",
    )
});

static LOST: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_usage_troubles_total",
        "dropped: minutes of accounts that found no room while Redis was away; roll_up: rounds Postgres did not take, tried again.",
        &["kind"],
    )
});

static JAIN: LazyLock<GaugeVec> = LazyLock::new(|| {
    gauge_vec(
        "weir_fairness_jain_index",
        "Jain's index of the last 5 minutes, on the instance that leads, else 0. entitlement: below 0.9 somebody is kept from their share.",
        &["over"],
    )
});

static P99: LazyLock<GaugeVec> = LazyLock::new(|| {
    gauge_vec(
        "weir_fairness_p99_seconds",
        "p99 of accounts within their limits, by whether another was over one in the same hour; on the instance that leads, else 0.",
        &["others"],
    )
});

/// Shows fairness; `None` where it is not known here.
pub(super) fn fairness(found: Option<&Fairness>) {
    let of = |value: fn(&Fairness) -> Option<f64>| found.and_then(value).unwrap_or(0.0);
    JAIN.with_label_values(&["quota"]).set(of(|found| found.over_quota));
    JAIN.with_label_values(&["entitlement"]).set(of(|found| found.over_entitlement));
    P99.with_label_values(&["calm"]).set(of(|found| found.p99_calm_ms) / 1_000.0);
    P99.with_label_values(&["spiking"]).set(of(|found| found.p99_spiking_ms) / 1_000.0);
}

/// Files minutes that found no room.
pub(super) fn dropped(minutes: u64) {
    LOST.with_label_values(&["dropped"]).inc_by(minutes);
}

/// Shows whether this instance leads.
pub(super) fn leads(leads: bool) {
    LEADS.set(i64::from(leads));
}

/// Files minutes that were written.
pub(super) fn rolled_up(minutes: usize) {
    ROLLED_UP.inc_by(u64::try_from(minutes).unwrap_or(0));
}

/// Files a round that failed.
pub(super) fn roll_up_failed(error: &ReadError) {
    LOST.with_label_values(&["roll_up"]).inc();
    let cause = std::error::Error::source(error).map(tracing::field::display);
    tracing::warn!(%error, cause, "minutes of use were not written; it is tried again");
}

/// Shows whether quotas are followed.
pub(super) fn behind(behind: bool) {
    BEHIND.set(i64::from(behind));
}

/// Files a change that was taken in.
pub(super) fn published(version: i64, accounts: usize, heard: &'static str) {
    VERSION.set(version);
    ACCOUNTS.set(i64::try_from(accounts).unwrap_or(i64::MAX));
    CHANGES.with_label_values(&[heard]).inc();
}

/// Shows every series at zero, before the first look.
pub(super) fn announce() {
    for gauge in [&BEHIND, &VERSION, &ACCOUNTS] {
        gauge.add(0);
    }
    LEADS.add(0);
    fairness(None);
    ROLLED_UP.inc_by(0);
    ["dropped", "roll_up"].into_iter().for_each(|kind| LOST.with_label_values(&[kind]).inc_by(0));
    ["poll", "message"].into_iter().for_each(|heard| CHANGES.with_label_values(&[heard]).inc_by(0));
}
