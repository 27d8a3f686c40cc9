//! The trail of operators' changes. Invariant: it is read only, and secrets were never written to it.

use poem_openapi::param::Query;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::super::super::admin::Operator;
use super::super::super::answer::Reply;
use super::super::super::caller::QuotasAdmin;
use super::super::super::failure::{Failure, Read};
use super::super::super::problem::Problem;
use super::super::super::refusal::invalid_parameter;
use super::super::super::text::{FreeObject, Rfc3339};
use super::super::Group;
use super::page_length;
use crate::domain::id::AccountId;
use crate::quotas::{AuditFilter, AuditRow};

/// `/v1/admin/audit`.
pub(in crate::http) struct AuditAdminApi;

/// One change
#[derive(Object, Serialize)]
#[oai(rename = "AuditEntry")]
struct EntryBody {
    /// Its number; later ones are larger
    audit_id: i64,
    /// When
    changed_at: Rfc3339,
    /// Account of the operator's token
    actor: String,
    /// `X-Request-Id` of the request
    request_id: String,
    /// The account it was about, where it was about one
    #[oai(nullable)]
    account_id: Option<String>,
    /// What was changed: `quota`, `override:7`, `source:ring`, `topic:orders`
    subject: String,
    /// What was done to it
    action: String,
    /// Why, in the operator's words
    reason: String,
    /// What it was; null when there was nothing
    #[oai(nullable)]
    before: Option<FreeObject>,
    /// What it became; null when nothing is left
    #[oai(nullable)]
    after: Option<FreeObject>,
}

/// Changes, the latest first
#[derive(Object, Serialize)]
#[oai(rename = "AuditTrail")]
struct TrailBody {
    /// The changes of this page
    data: Vec<EntryBody>,
    /// Ask with it for the next page; null at the end
    #[oai(nullable)]
    next_cursor: Option<String>,
}

#[OpenApi(tag = "Group::Admin")]
impl AuditAdminApi {
    /// See who changed what, and why
    ///
    /// Needs `role: operator` and the scope `quotas:admin`. The latest change comes first.
    #[oai(path = "/v1/admin/audit", method = "get", operation_id = "listAudit")]
    #[allow(clippy::too_many_arguments, reason = "the document wants flat parameters")]
    async fn list(
        &self,
        operator: Operator<QuotasAdmin>,
        /// Changes about this account only
        #[oai(validator(min_length = 1, max_length = 128, pattern = "^[!-~]+$"))]
        account_id: Query<Option<String>>,
        /// Changes of this subject only
        #[oai(validator(min_length = 1, max_length = 255, pattern = "^[!-~]+$"))]
        subject: Query<Option<String>>,
        /// Most changes of the page
        #[oai(default = "page_length", validator(minimum(value = "1"), maximum(value = "250")))]
        limit: Query<u16>,
        /// Where the page starts: `next_cursor` of the page before
        cursor: Query<Option<String>>,
    ) -> Result<Reply<TrailBody>, Failure<Read>> {
        let account = account_id.0.as_deref().map(AccountId::new).transpose();
        let account = account.map_err(|error| invalid_parameter("query", "account_id", error.to_string()))?;
        let filter = AuditFilter { account, subject: subject.0 };
        let page = operator.components.quotas.audit(&filter, cursor.0.as_deref(), limit.0).await;
        let page = page.map_err(Problem::from)?;
        let data = page.rows.into_iter().map(EntryBody::from).collect();
        Ok(Reply(TrailBody { data, next_cursor: page.next_cursor }))
    }
}

impl From<AuditRow> for EntryBody {
    fn from(row: AuditRow) -> Self {
        let object = |text: Option<String>| text.and_then(|text| FreeObject::new(text.into()));
        Self {
            audit_id: row.audit_id,
            changed_at: Rfc3339(row.changed_at),
            actor: row.actor,
            request_id: row.request_id,
            account_id: row.account_id,
            subject: row.subject,
            action: row.action,
            reason: row.reason,
            before: object(row.before),
            after: object(row.after),
        }
    }
}
