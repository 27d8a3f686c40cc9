//! What the limits tell operators.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::inflight::Resource;
use super::refusal::Refusal;
use crate::cache::limiter::WindowsError;
use crate::domain::outcome::Policy;
use crate::domain::ring::{Answer, Ask};
use crate::telemetry::metrics::{int_counter, int_counter_vec, int_gauge};

static ALONE: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge(
        "weir_limit_alone",
        "1 while this instance decides by its own share of each limit because Redis does not answer in time; look at Redis.",
    )
});

static INSTANCES: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge(
        "weir_limit_instances",
        "Instances that share the limits, as last heard from Redis; the share while alone is a limit divided by it.",
    )
});

static ACCOUNTS: LazyLock<IntGauge> =
    LazyLock::new(|| int_gauge("weir_limit_accounts", "Accounts kept in memory by the limiter."));

static QUESTIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_limit_questions_total",
        "Questions to Redis: charge (a request waited for it) or renewal. Many charges an event mean limits too small to lease.",
        &["kind"],
    )
});

static UNANSWERED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_limit_unanswered_total",
        "Calls to Redis without an answer: late, failed, or not understood.",
        &["kind"],
    )
});

static REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec("weir_limit_refusals_total", "Requests refused in whole or in part, by policy.", &["policy"])
});

static SHADOWED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_limit_shadow_units_total",
        "Units above a policy in shadow mode: what enforcing it would refuse, to within a lease.",
        &["policy"],
    )
});

static FULL: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_limit_inflight_refusals_total",
        "Requests turned away because too much of the resource was in flight; account: its own cap, all: the cap above all accounts.",
        &["resource", "cap"],
    )
});

static PEERS: LazyLock<IntCounter> =
    LazyLock::new(|| int_counter("weir_limit_peer_refusals_total", "Requests refused by the limit of one address."));

/// Shows where decisions are made.
pub(super) fn alone(alone: bool) {
    ALONE.set(i64::from(alone));
}

/// Shows how many share the limits.
pub(super) fn instances(instances: i64) {
    INSTANCES.set(instances);
}

/// Shows how many accounts are kept.
pub(super) fn accounts(accounts: usize) {
    ACCOUNTS.set(i64::try_from(accounts).unwrap_or(i64::MAX));
}

/// Files a charge that went to Redis.
pub(super) fn asked() {
    QUESTIONS.with_label_values(&["charge"]).inc();
}

/// Files renewals.
pub(super) fn renewed(count: usize) {
    QUESTIONS.with_label_values(&["renewal"]).inc_by(u64::try_from(count).unwrap_or(0));
}

/// Files a call that Redis did not answer.
pub(super) fn unanswered(error: &WindowsError) {
    let kind = match error {
        WindowsError::Late(_) => "late",
        WindowsError::Reply => "not_understood",
        _ => "failed",
    };
    UNANSWERED.with_label_values(&[kind]).inc();
}

/// Files a refusal.
pub(super) fn refused(refusal: &Refusal) {
    REFUSED.with_label_values(&[refusal.policy.name()]).inc();
}

/// Files what policies in shadow mode would have refused.
pub(super) fn shadowed(ask: &Ask, answer: &Answer) {
    let shadows = ask.rules.iter().zip(&answer.used).filter(|(rule, used)| !rule.enforced && used.used > used.capacity);
    for (rule, _) in shadows {
        let unit = rule.unit.index();
        let units = answer.granted[unit] + ask.spent[unit].iter().map(|spent| spent.dated.amount).sum::<i64>();
        SHADOWED.with_label_values(&[rule.policy.name()]).inc_by(u64::try_from(units).unwrap_or(0));
    }
}

/// Files a request that a cap in shadow mode would have refused.
pub(super) fn shadowed_request() {
    SHADOWED.with_label_values(&[Policy::Concurrent.name()]).inc();
}

/// Files a request that met a full resource.
pub(super) fn full(resource: Resource, own: bool) {
    FULL.with_label_values(&[resource.name(), if own { "account" } else { "all" }]).inc();
}

/// Files a refusal by address.
pub(super) fn peer_refused() {
    PEERS.inc();
}

/// Shows every series at zero, before the first request.
pub(super) fn announce() {
    for gauge in [&ALONE, &INSTANCES, &ACCOUNTS] {
        gauge.add(0);
    }
    ["charge", "renewal"].into_iter().for_each(|kind| QUESTIONS.with_label_values(&[kind]).inc_by(0));
    ["late", "failed", "not_understood"].into_iter().for_each(|kind| UNANSWERED.with_label_values(&[kind]).inc_by(0));
    for policy in Policy::ALL {
        REFUSED.with_label_values(&[policy.name()]).inc_by(0);
        SHADOWED.with_label_values(&[policy.name()]).inc_by(0);
    }
    for resource in Resource::ALL {
        ["account", "all"].into_iter().for_each(|cap| FULL.with_label_values(&[resource.name(), cap]).inc_by(0));
    }
    PEERS.inc_by(0);
}
