//! Fairness in numbers. Invariant: accounts are named to operators only.

use poem_openapi::param::Query;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::super::super::admin::Operator;
use super::super::super::answer::Reply;
use super::super::super::caller::QuotasAdmin;
use super::super::super::failure::{Failure, Read};
use super::super::super::problem::Problem;
use super::super::Group;
use super::page_length;
use crate::domain::time::Timestamp;
use crate::quotas::FairShare;

/// `/v1/admin/fairness`.
pub(in crate::http) struct FairnessAdminApi;

/// An account's part
#[derive(Object, Serialize)]
#[oai(rename = "FairShare")]
struct ShareBody {
    /// The account
    account_id: String,
    /// Events offered
    offered: i64,
    /// Those accepted
    accepted: i64,
    /// Those refused
    refused: i64,
    /// By minute the smaller of offered and limit, added up
    entitled: i64,
    /// Accepted ÷ what it might have sent; null where no limit is enforced
    #[oai(nullable)]
    share_of_quota: Option<f64>,
    /// Accepted ÷ entitled; null where that is nothing
    #[oai(nullable)]
    share_of_entitlement: Option<f64>,
    /// p99 of answers to its events in hours in which nobody was over a limit
    #[oai(nullable)]
    p99_calm_ms: Option<f64>,
    /// The same in hours in which another account was, and it was not
    #[oai(nullable)]
    p99_while_others_spiked_ms: Option<f64>,
}

/// Fairness in numbers
#[derive(Object, Serialize)]
#[oai(rename = "Fairness")]
struct FairnessBody {
    /// Jain's index over shares of quotas: 1 when all use the same part of theirs
    #[oai(nullable)]
    jain_index_over_quota: Option<f64>,
    /// Jain's index over shares of entitlements: 1 when nobody took another's share
    #[oai(nullable)]
    jain_index_over_entitlement: Option<f64>,
    /// p99 over all accounts, each in its calm hours
    #[oai(nullable)]
    p99_calm_ms: Option<f64>,
    /// p99 over all accounts, each in hours in which another was over a limit and it was not
    #[oai(nullable)]
    p99_while_others_spiked_ms: Option<f64>,
    /// The accounts, the busiest first
    accounts: Vec<ShareBody>,
}

fn a_quarter() -> u16 {
    15
}

fn a_day() -> u16 {
    24
}

#[OpenApi(tag = "Group::Admin")]
impl FairnessAdminApi {
    /// See whether everybody got their share
    ///
    /// Needs `role: operator` and the scope `quotas:admin`. Shares are of the last minutes of use, half a minute behind; answers of the last
    /// hours, a minute behind. An account is over a limit in an hour when any of its events was refused in it.
    #[oai(path = "/v1/admin/fairness", method = "get", operation_id = "getFairness")]
    async fn fairness(
        &self,
        operator: Operator<QuotasAdmin>,
        /// Minutes that shares are taken over
        #[oai(default = "a_quarter", validator(minimum(value = "1"), maximum(value = "1440")))]
        minutes: Query<u16>,
        /// Hours that answers are taken over
        #[oai(default = "a_day", validator(minimum(value = "1"), maximum(value = "720")))]
        hours: Query<u16>,
        /// Most accounts of the answer; the indices are over all
        #[oai(default = "page_length", validator(minimum(value = "1"), maximum(value = "250")))]
        limit: Query<u16>,
    ) -> Result<Reply<FairnessBody>, Failure<Read>> {
        let (minutes, hours) = (i64::from(minutes.0), i64::from(hours.0));
        let found = operator.components.fairness.fairness(minutes, hours, Timestamp::now()).await;
        let found = found.map_err(Problem::from)?;
        Ok(Reply(FairnessBody {
            jain_index_over_quota: found.over_quota,
            jain_index_over_entitlement: found.over_entitlement,
            p99_calm_ms: found.p99_calm_ms,
            p99_while_others_spiked_ms: found.p99_spiking_ms,
            accounts: found.accounts.into_iter().take(usize::from(limit.0)).map(ShareBody::from).collect(),
        }))
    }
}

impl From<FairShare> for ShareBody {
    fn from(share: FairShare) -> Self {
        let used = share.used;
        Self {
            account_id: used.account_id,
            offered: used.offered,
            accepted: used.accepted,
            refused: used.refused,
            entitled: used.entitled,
            share_of_quota: share.of_quota,
            share_of_entitlement: share.of_entitlement,
            p99_calm_ms: share.p99_calm_ms,
            p99_while_others_spiked_ms: share.p99_spiking_ms,
        }
    }
}
