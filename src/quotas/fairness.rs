//! Fairness in numbers. Invariant: everything is computed from what is kept anyway: minutes of use, and answers by account and hour.
//!
//! The two indices: over *quota*, accepted ÷ what the account might have sent, which tells how evenly the capacity that was promised is used;
//! over *entitlement*, accepted ÷ what it was entitled to (by minute the smaller of offered and limit), which tells whether each got what
//! it asked for within its limits, and is 1 when nobody took another's share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::OperatorError;
use crate::domain::sli::Sample;
use crate::domain::time::Timestamp;
use crate::domain::usage::jain;
use crate::limit::Quotas;
use crate::store::{AccountUse, Beside, QuotaStore, SliStore};

/// Operations that bring events in.
const TAKING: [&str; 4] = ["postEvent", "postEventAlias", "postEventBatch", "postBeacon"];

/// Most accounts that are looked at, the busiest.
const ACCOUNTS: i64 = 10_000;

/// Most hours of accounts over a limit that are looked at.
const SPIKES: i64 = 20_000;

/// One account's part.
#[derive(Debug, Clone, PartialEq)]
pub struct FairShare {
    /// What it used.
    pub used: AccountUse,
    /// Accepted ÷ what it might have sent; `None` where no limit is enforced.
    pub of_quota: Option<f64>,
    /// Accepted ÷ what it was entitled to; `None` where that is nothing.
    pub of_entitlement: Option<f64>,
    /// 99 of 100 answers to it took no longer, in milliseconds, in hours in which nobody was over a limit.
    pub p99_calm_ms: Option<f64>,
    /// The same in hours in which another was, and it was not.
    pub p99_spiking_ms: Option<f64>,
}

/// Everybody's part.
#[derive(Debug, Clone, PartialEq)]
pub struct Fairness {
    /// Jain's index over shares of quotas.
    pub over_quota: Option<f64>,
    /// Jain's index over shares of entitlements.
    pub over_entitlement: Option<f64>,
    /// p99 of all accounts that were within their limits, in milliseconds, in calm hours.
    pub p99_calm_ms: Option<f64>,
    /// The same in hours in which another was over a limit.
    pub p99_spiking_ms: Option<f64>,
    /// The accounts, the busiest first.
    pub accounts: Vec<FairShare>,
}

/// Computes fairness. Cheap to clone.
#[derive(Clone)]
pub struct FairnessDesk {
    store: QuotaStore,
    sli: SliStore,
    quotas: Arc<Quotas>,
}

impl FairnessDesk {
    /// Over minutes of use and levels of service.
    pub fn new(store: QuotaStore, sli: SliStore, quotas: Arc<Quotas>) -> Self {
        Self { store, sli, quotas }
    }

    /// Shares of the last `minutes`, the one under way included, and answers of the last `hours`, likewise.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn fairness(&self, minutes: i64, hours: i64, now: Timestamp) -> Result<Fairness, OperatorError> {
        let to = now.unix_seconds() + 1;
        let range = ((to - 60 * minutes).div_euclid(60) * 60, to);
        let (default, limits) = self.quotas.sustained(now);
        let used = self.store.used(range, default, &limits, ACCOUNTS).await?;
        let hours = ((to - 3_600 * (hours - 1)).div_euclid(3_600) * 3_600, to);
        let spikes = self.store.spikes(hours, SPIKES).await?;
        let beside = self.sli.beside(hours, &TAKING, &spikes, 2 * ACCOUNTS).await?;
        let own: BTreeMap<&str, i64> = limits.iter().map(|(account, limit)| (account.as_str(), *limit)).collect();
        let limit_of = |account: &str| own.get(account).copied().unwrap_or(default);
        Ok(assemble(used, &beside, (range.1 - range.0).div_euclid(60).max(1), limit_of))
    }
}

fn assemble(used: Vec<AccountUse>, beside: &[Beside], minutes: i64, limit_of: impl Fn(&str) -> i64) -> Fairness {
    let mut calm = BTreeMap::<(&str, bool), Sample>::new();
    let mut all = [Sample::default(); 2];
    for part in beside {
        calm.entry((&part.account_id, part.spiking)).or_default().merge(&part.sample);
        all[usize::from(part.spiking)].merge(&part.sample);
    }
    let p99 = |account: &str, spiking| calm.get(&(account, spiking)).and_then(|sample| sample.quantile_ms(0.99));
    let ratio = |part: i64, whole: i64| (whole > 0).then(|| part as f64 / whole as f64);
    let share = |used: AccountUse| {
        let limit = limit_of(&used.account_id);
        FairShare {
            of_quota: (limit < i64::MAX).then(|| ratio(used.accepted, limit.saturating_mul(minutes))).flatten(),
            of_entitlement: ratio(used.accepted, used.entitled),
            p99_calm_ms: p99(&used.account_id, false),
            p99_spiking_ms: p99(&used.account_id, true),
            used,
        }
    };
    let accounts: Vec<FairShare> = used.into_iter().map(share).collect();
    Fairness {
        over_quota: jain(accounts.iter().filter_map(|share| share.of_quota)),
        over_entitlement: jain(accounts.iter().filter_map(|share| share.of_entitlement)),
        p99_calm_ms: all[0].quantile_ms(0.99),
        p99_spiking_ms: all[1].quantile_ms(0.99),
        accounts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(account: &str, offered: i64, accepted: i64, limit: i64) -> AccountUse {
        let (account_id, refused, entitled) = (account.to_owned(), offered - accepted, offered.min(limit));
        AccountUse { account_id, offered, accepted, refused, entitled }
    }

    #[test]
    fn a_limited_whale_leaves_the_index_of_entitlements_at_1() {
        let limit_of = |account: &str| if account == "whale" { 50 } else { 1_000 };
        let fair = vec![used("whale", 5_000, 50, 50), used("small", 5, 5, 1_000)];
        let found = assemble(fair, &[], 1, limit_of);
        assert_eq!((found.over_entitlement, found.accounts[1].of_quota), (Some(1.0), Some(0.005)));
        assert!(found.over_quota < Some(0.6), "{found:?}");
        let unfair = vec![used("whale", 5_000, 50, 50), used("small", 5, 1, 1_000)];
        assert!(assemble(unfair, &[], 1, limit_of).over_entitlement < Some(0.8));
    }

    #[test]
    fn answers_are_told_apart_by_what_others_did() {
        let sample = |bin: usize| {
            let mut sample = Sample { good: 10, ..Sample::default() };
            sample.bins[bin] = 10;
            sample
        };
        let beside = [(false, 0), (true, 2)].map(|(spiking, bin)| Beside {
            account_id: "small".into(),
            spiking,
            sample: sample(bin),
        });
        let found = assemble(vec![used("small", 5, 5, 9)], &beside, 1, |_| 9);
        assert!(
            found.accounts[0].p99_calm_ms < Some(10.0) && found.accounts[0].p99_spiking_ms > Some(25.0),
            "{found:?}"
        );
        assert_eq!(
            (found.p99_calm_ms, found.p99_spiking_ms),
            (found.accounts[0].p99_calm_ms, found.accounts[0].p99_spiking_ms)
        );
    }
}
