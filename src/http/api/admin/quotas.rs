//! Keeping quotas. Invariant: nothing is written over a version its author has not seen.

use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Deserialize;

use super::super::super::admin::{Etag, Form, Operator, QuotaBody, Settings, account_of, author, change_quota};
use super::super::super::answer::Reply;
use super::super::super::caller::QuotasAdmin;
use super::super::super::failure::{Change as ChangeFailure, Failure, Read};
use super::super::super::problem::Problem;
use super::super::Group;
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;
use crate::quotas::QuotaAct;

/// `/v1/admin/accounts/{account_id}/quota`.
pub(in crate::http) struct QuotasAdminApi;

/// A quota as it is to be
#[derive(Object, Deserialize)]
#[oai(rename = "NewQuota")]
#[serde(deny_unknown_fields)]
struct NewQuota {
    /// Why, for the audit
    #[oai(validator(min_length = 1, max_length = 500))]
    reason: String,
    /// All that differs from the defaults
    quota: Settings,
}

#[derive(ApiResponse)]
enum Found {
    /// What the account may do
    #[oai(status = 200)]
    Found(
        Reply<QuotaBody>,
        /// Version of what is stored, overrides included, for If-Match
        #[oai(header = "ETag")]
        String,
    ),
}

#[OpenApi(tag = "Group::Admin")]
impl QuotasAdminApi {
    /// Read a quota
    ///
    /// Needs `role: operator` and the scope `quotas:admin`. An account for which nothing is stored has the defaults.
    #[oai(path = "/v1/admin/accounts/:account_id/quota", method = "get", operation_id = "getQuota")]
    async fn one(
        &self,
        operator: Operator<QuotasAdmin>,
        /// The account
        #[oai(validator(min_length = 1, max_length = 128, pattern = "^[!-~]+$"))]
        account_id: Path<String>,
    ) -> Result<Found, Failure<Read>> {
        let account = account_of(&account_id.0)?;
        Ok(standing(&operator, &account).await?)
    }

    /// Set a quota
    ///
    /// Needs `role: operator` and the scope `quotas:admin`, and the quota's ETag as `If-Match`. Replaces all that is stored; what is absent
    /// is as it is by default. Every instance follows within 2 seconds.
    #[oai(path = "/v1/admin/accounts/:account_id/quota", method = "put", operation_id = "putQuota")]
    async fn put(
        &self,
        operator: Operator<QuotasAdmin>,
        /// The account
        #[oai(validator(min_length = 1, max_length = 128, pattern = "^[!-~]+$"))]
        account_id: Path<String>,
        /// ETag of the quota as you read it
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        new: Form<NewQuota>,
    ) -> Result<Found, Failure<ChangeFailure>> {
        let (account, Form(new)) = (account_of(&account_id.0)?, new);
        let author = author(&operator, &new.reason)?;
        let act = QuotaAct::Set(new.quota.patch()?);
        change_quota(&operator, &account, (if_match.0.as_deref(), true), (act, &author)).await?;
        Ok(standing(&operator, &account).await?)
    }

    /// Reset a quota
    ///
    /// Needs `role: operator` and the scope `quotas:admin`, and the quota's ETag as `If-Match`. The defaults hold again; overrides stay.
    #[oai(path = "/v1/admin/accounts/:account_id/quota", method = "delete", operation_id = "resetQuota")]
    async fn reset(
        &self,
        operator: Operator<QuotasAdmin>,
        /// The account
        #[oai(validator(min_length = 1, max_length = 128, pattern = "^[!-~]+$"))]
        account_id: Path<String>,
        /// Why, for the audit
        #[oai(validator(min_length = 1, max_length = 500))]
        reason: Query<String>,
        /// ETag of the quota as you read it
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Found, Failure<ChangeFailure>> {
        let account = account_of(&account_id.0)?;
        let author = author(&operator, &reason.0)?;
        change_quota(&operator, &account, (if_match.0.as_deref(), true), (QuotaAct::Reset, &author)).await?;
        Ok(standing(&operator, &account).await?)
    }
}

async fn standing(operator: &Operator<QuotasAdmin>, account: &AccountId) -> Result<Found, Problem> {
    let now = Timestamp::now();
    let standing = operator.components.quotas.standing(account, now).await?;
    let etag = Etag(standing.stored.version).header();
    Ok(Found::Found(Reply(QuotaBody::new(account, &standing, now)), etag))
}
