//! What operators see of tokens and keys. Invariant: labels are results from a closed set, never who called.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use crate::domain::time::Timestamp;
use crate::telemetry::metrics::{int_counter, int_counter_vec, int_gauge};

use super::source::LoadError;
use super::{AuthError, reason};

/// Handles by result, so that the hot path looks up no label.
struct Verifications {
    accepted: IntCounter,
    missing: IntCounter,
    malformed: IntCounter,
    invalid: IntCounter,
    expired: IntCounter,
    keys_unavailable: IntCounter,
}

static VERIFICATIONS: LazyLock<Verifications> = LazyLock::new(|| {
    let all = int_counter_vec(
        "weir_token_verifications_total",
        "Tokens judged, by result; many invalid ones after a key rotation mean that issuer and key set disagree.",
        &["result"],
    );
    let of = |result| all.with_label_values(&[result]);
    Verifications {
        accepted: of("accepted"),
        missing: of("missing"),
        malformed: of("malformed"),
        invalid: of("invalid"),
        expired: of("expired"),
        keys_unavailable: of("keys_unavailable"),
    }
});

static CACHE: LazyLock<IntCounterVec> = LazyLock::new(|| {
    int_counter_vec(
        "weir_token_cache_total",
        "Token look-ups by cache answer; a falling share of hits costs CPU: raise WEIR_JWT_CACHE_SIZE or make tokens live longer.",
        &["answer"],
    )
});

static HITS: LazyLock<IntCounter> = LazyLock::new(|| CACHE.with_label_values(&["hit"]));
static FORGED_HITS: LazyLock<IntCounter> = LazyLock::new(|| CACHE.with_label_values(&["forged"]));
static MISSES: LazyLock<IntCounter> = LazyLock::new(|| CACHE.with_label_values(&["miss"]));

static REFRESH_FAILURES: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter(
        "weir_token_keys_refresh_failures_total",
        "Failed loads of the token key set; the last good one stays in use: check WEIR_JWT_JWKS and the identity provider.",
    )
});

static LOADED_AT: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge(
        "weir_token_keys_loaded_timestamp_seconds",
        "When the token key set was last loaded well (0: never); alert when time() minus this passes an hour.",
    )
});

static KEYS: LazyLock<IntGauge> = LazyLock::new(|| {
    int_gauge("weir_token_keys", "Usable keys of the token key set; a drop outside a rotation locks callers out.")
});

pub(super) fn judged(verdict: Result<(), AuthError>) {
    let counters = &*VERIFICATIONS;
    let counter = match verdict {
        Ok(()) => &counters.accepted,
        Err(AuthError::Invalid(reason::MISSING)) => &counters.missing,
        Err(AuthError::Invalid(reason::MALFORMED)) => &counters.malformed,
        Err(AuthError::Invalid(reason::EXPIRED)) => &counters.expired,
        Err(AuthError::Invalid(_)) => &counters.invalid,
        Err(AuthError::KeysUnavailable(_)) => &counters.keys_unavailable,
    };
    counter.inc();
}

pub(super) fn cache_hit() {
    HITS.inc();
}

pub(super) fn cache_forged() {
    FORGED_HITS.inc();
}

pub(super) fn cache_miss() {
    MISSES.inc();
}

/// Registers the key metrics at zero, before the first load has ended.
pub(super) fn announce() {
    REFRESH_FAILURES.inc_by(0);
    LOADED_AT.add(0);
    KEYS.add(0);
}

pub(super) fn keys_loaded(now: Timestamp, keys: usize, changed: bool) {
    LOADED_AT.set(now.unix_seconds());
    KEYS.set(i64::try_from(keys).unwrap_or(i64::MAX));
    if changed {
        tracing::info!(keys, "a new token key set is in use with {keys} keys");
    }
}

pub(super) fn keys_not_loaded(error: &LoadError, loaded_before: bool) {
    REFRESH_FAILURES.inc();
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    if loaded_before {
        tracing::warn!(%error, cause, "the token key set was not refreshed; the last good one stays in use");
    } else {
        tracing::error!(%error, cause, "the token key set is not loaded: nobody can call until it is");
    }
}
