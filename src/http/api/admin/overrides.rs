//! Keeping overrides. Invariant: an override has an end when it is made, and needs nobody to end it.

use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::super::super::admin::{Form, Operator, OverrideBody, Settings, account_of, author, change_quota};
use super::super::super::answer::Reply;
use super::super::super::caller::QuotasAdmin;
use super::super::super::failure::{Change as ChangeFailure, Failure, Read};
use super::super::super::problem::{Code, Problem};
use super::super::super::text::Rfc3339;
use super::super::Group;
use super::{Removed, page_length};
use crate::domain::outcome::Fault;
use crate::domain::quota::{QuotaOverride, QuotaPatch};
use crate::domain::time::{SECOND, Timestamp};
use crate::quotas::QuotaAct;

/// How far ahead an override may end.
const LONGEST: i64 = 366 * 86_400 * SECOND;

/// `/v1/admin/accounts/{account_id}/overrides`.
pub(in crate::http) struct OverridesAdminApi;

/// An override as it is to be
#[derive(Object, Deserialize)]
#[oai(rename = "NewQuotaOverride")]
#[serde(deny_unknown_fields)]
struct NewOverride {
    /// Why, for the audit
    #[oai(validator(min_length = 1, max_length = 500))]
    reason: String,
    /// What differs while it is active
    quota: Settings,
    /// First instant it counts; now when absent
    #[serde(default)]
    starts_at: Option<Rfc3339>,
    /// First instant it no longer counts, at most 366 days ahead
    ends_at: Rfc3339,
}

/// Overrides of an account
#[derive(Object, Serialize)]
#[oai(rename = "QuotaOverrides")]
struct OverridesBody {
    /// The overrides of this page, the latest made first
    data: Vec<OverrideBody>,
    /// Ask with it for the next page; null at the end
    #[oai(nullable)]
    next_cursor: Option<String>,
}

#[derive(ApiResponse)]
enum Made {
    /// It was made
    #[oai(status = 201)]
    Made(
        Reply<OverrideBody>,
        /// Version of the account's quota, overrides included
        #[oai(header = "ETag")]
        String,
    ),
}

#[OpenApi(tag = "Group::Admin")]
impl OverridesAdminApi {
    /// List overrides
    ///
    /// Needs `role: operator` and the scope `quotas:admin`. Those that have ended are among them.
    #[oai(path = "/v1/admin/accounts/:account_id/overrides", method = "get", operation_id = "listQuotaOverrides")]
    async fn list(
        &self,
        operator: Operator<QuotasAdmin>,
        /// The account
        #[oai(validator(min_length = 1, max_length = 128, pattern = "^[!-~]+$"))]
        account_id: Path<String>,
        /// Most overrides of the page
        #[oai(default = "page_length", validator(minimum(value = "1"), maximum(value = "250")))]
        limit: Query<u16>,
        /// Where the page starts: `next_cursor` of the page before
        cursor: Query<Option<String>>,
    ) -> Result<Reply<OverridesBody>, Failure<Read>> {
        let account = account_of(&account_id.0)?;
        let page = operator.components.quotas.overrides(&account, cursor.0.as_deref(), limit.0).await;
        let (page, now) = (page.map_err(Problem::from)?, Timestamp::now());
        let data = page.overrides.into_iter().map(|row| OverrideBody::of_row(row, now)).collect();
        Ok(Reply(OverridesBody { data, next_cursor: page.next_cursor }))
    }

    /// Change a quota for a time
    ///
    /// Needs `role: operator` and the scope `quotas:admin`. Laid over the stored quota, and over overrides made before it, from its start to
    /// its end; then it is over by itself. With `If-Match`, only when the quota stands as you read it.
    #[oai(path = "/v1/admin/accounts/:account_id/overrides", method = "post", operation_id = "postQuotaOverride")]
    async fn add(
        &self,
        operator: Operator<QuotasAdmin>,
        /// The account
        #[oai(validator(min_length = 1, max_length = 128, pattern = "^[!-~]+$"))]
        account_id: Path<String>,
        /// ETag of the quota as you read it
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        new: Form<NewOverride>,
    ) -> Result<Made, Failure<ChangeFailure>> {
        let (account, Form(new), now) = (account_of(&account_id.0)?, new, Timestamp::now());
        let author = author(&operator, &new.reason)?;
        let patch = new.quota.patch()?;
        let starts_at = new.starts_at.map_or(now, |time| time.0);
        let ends_at = new.ends_at.0;
        check(&patch, (starts_at, ends_at), now)?;
        let act = QuotaAct::Add { patch, starts_at, ends_at };
        let (etag, id) = change_quota(&operator, &account, (if_match.0.as_deref(), false), (act, &author)).await?;
        let id = id.ok_or_else(|| Problem::new(Code::Internal, ""))?;
        let (actor, reason) = (author.actor.to_string(), author.reason);
        let made = QuotaOverride { id, patch, starts_at, ends_at, reason, actor };
        Ok(Made::Made(Reply(OverrideBody::of_new(&made, now)), etag.header()))
    }

    /// End an override before its time
    ///
    /// Needs `role: operator` and the scope `quotas:admin`. It stays in the list. With `If-Match`, only when the quota stands as you read it.
    #[oai(
        path = "/v1/admin/accounts/:account_id/overrides/:override_id",
        method = "delete",
        operation_id = "endQuotaOverride"
    )]
    #[allow(clippy::too_many_arguments, reason = "the document wants flat parameters")]
    async fn end(
        &self,
        operator: Operator<QuotasAdmin>,
        /// The account
        #[oai(validator(min_length = 1, max_length = 128, pattern = "^[!-~]+$"))]
        account_id: Path<String>,
        /// Names the override
        #[oai(validator(minimum(value = "1")))]
        override_id: Path<i64>,
        /// Why, for the audit
        #[oai(validator(min_length = 1, max_length = 500))]
        reason: Query<String>,
        /// ETag of the quota as you read it
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Removed, Failure<ChangeFailure>> {
        let account = account_of(&account_id.0)?;
        let author = author(&operator, &reason.0)?;
        let act = QuotaAct::End { id: override_id.0, now: Timestamp::now() };
        change_quota(&operator, &account, (if_match.0.as_deref(), false), (act, &author)).await?;
        Ok(Removed::Removed)
    }
}

fn check(patch: &QuotaPatch, (starts_at, ends_at): (Timestamp, Timestamp), now: Timestamp) -> Result<(), Problem> {
    let mut faults = Vec::new();
    if *patch == QuotaPatch::default() {
        faults.push(Fault::new("/quota", "empty", "must say what differs"));
    }
    if ends_at <= starts_at.max(now) || ends_at.micros_since(now) > LONGEST {
        faults.push(Fault::new("/ends_at", "range", "must be after the start and after now, at most 366 days ahead"));
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Problem::new(Code::InvalidRequest, "this is no override").with_faults(faults))
    }
}
