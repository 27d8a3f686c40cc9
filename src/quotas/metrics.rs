//! What following quotas tells operators.

use std::sync::LazyLock;

use prometheus::{IntCounterVec, IntGauge};

use crate::telemetry::metrics::{int_counter_vec, int_gauge};

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
    ["poll", "message"].into_iter().for_each(|heard| CHANGES.with_label_values(&[heard]).inc_by(0));
}
