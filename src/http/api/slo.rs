//! Reports about promises. Invariant: a tenant is told about itself only; what concerns others needs an operator.

use poem::Request;
use poem_openapi::param::Query;
use poem_openapi::{Enum, OpenApi};

use super::super::Components;
use super::super::admin::Operator;
use super::super::answer::Reply;
use super::super::caller::{Caller, SloRead};
use super::super::document::{Form, ReportDocument};
use super::super::failure::{Failure, Read, ReadForm};
use super::super::incident::KeySet;
use super::super::problem::{Code, Problem};
use super::super::text::Time;
use super::Group;
use crate::domain::id::AccountId;
use crate::domain::outcome::Policy;
use crate::domain::time::Timestamp;
use crate::limit::Limiter;
use crate::slo::period::{Cadence, Period};
use crate::slo::report::Audience;
use crate::slo::report::build::Ask;
use crate::slo::report::month::MonthUse;

/// `/v1/slo` and the operator's report.
pub(in super::super) struct SloApi;

/// How long the periods are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "Cadence", rename_all = "snake_case")]
enum CadenceParam {
    /// Monday to Sunday
    Weekly,
    /// Calendar months
    Monthly,
}

/// For whom a report is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "Audience", rename_all = "snake_case")]
enum AudienceParam {
    /// Everything
    Operator,
    /// One page of promises, trend and incidents
    Executive,
    /// What the account named by `account_id` sees
    Account,
}

fn weekly() -> CadenceParam {
    CadenceParam::Weekly
}

fn operator() -> AudienceParam {
    AudienceParam::Operator
}

#[OpenApi(tag = "Group::Promises")]
impl SloApi {
    /// Was the account served as promised
    ///
    /// Needs the scope `slo:read`. About the account of the token: each promise with its target, what became of it, what is left
    /// of its error budget and when that ends at the present pace; when its monthly quota, if it has one, is used up at the pace of
    /// the last day; incidents with their causes. JSON, CSV or a page to print.
    #[oai(path = "/v1/slo", method = "get", operation_id = "getSlo")]
    async fn own(
        &self,
        caller: Caller<SloRead>,
        request: &Request,
        /// How long the period is
        #[oai(default = "weekly")]
        period: Query<CadenceParam>,
        /// A time inside the period; the last whole period when absent
        at: Query<Option<Time>>,
    ) -> Result<ReportDocument, Failure<ReadForm>> {
        let account = Some(caller.tenant.account_id.clone());
        let ask = ask(&caller.components, (Audience::Account, account), period.0, at.0).await;
        Ok(document(&caller.components, request, &ask).await?)
    }

    /// Was everybody served as promised
    ///
    /// Needs an operator's token with the scope `slo:read`.
    #[oai(path = "/v1/admin/slo/report", method = "get", operation_id = "getSloReport")]
    #[allow(clippy::too_many_arguments, reason = "the document wants flat parameters")]
    async fn report(
        &self,
        caller: Operator<SloRead>,
        request: &Request,
        /// How long the period is
        #[oai(default = "weekly")]
        period: Query<CadenceParam>,
        /// A time inside the period; the last whole period when absent
        at: Query<Option<Time>>,
        /// For whom
        #[oai(default = "operator")]
        audience: Query<AudienceParam>,
        /// Whose numbers; needed for the audience `account`
        account_id: Query<Option<String>>,
    ) -> Result<ReportDocument, Failure<ReadForm>> {
        let account = match (&account_id.0, audience.0) {
            (Some(text), _) => Some(AccountId::new(text).map_err(|error| invalid(format!("account_id {error}")))?),
            (None, AudienceParam::Account) => return Err(invalid("account_id is needed for this audience").into()),
            (None, _) => None,
        };
        let audience = match audience.0 {
            _ if account.is_some() => Audience::Account,
            AudienceParam::Executive => Audience::Executive,
            _ => Audience::Operator,
        };
        let ask = ask(&caller.components, (audience, account), period.0, at.0).await;
        Ok(document(&caller.components, request, &ask).await?)
    }

    /// Keys that sign reports
    ///
    /// A key set (RFC 7517) of Ed25519 keys; empty where reports are not signed. No token is needed: whoever was handed a report can
    /// check it.
    #[oai(path = "/v1/slo/keys", method = "get", operation_id = "getReportKeys")]
    async fn keys(&self, request: &Request) -> Result<Reply<KeySet>, Failure<Read>> {
        let components = Components::of(request)?;
        Ok(Reply(KeySet::of(components.desk.signer())))
    }
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

async fn ask(
    components: &Components,
    (audience, account): (Audience, Option<AccountId>),
    period: CadenceParam,
    at: Option<Time>,
) -> Ask {
    let now = Timestamp::now();
    let cadence = match period {
        CadenceParam::Weekly => Cadence::Weekly,
        CadenceParam::Monthly => Cadence::Monthly,
    };
    let month = match &account {
        Some(account) => month(&components.limiter, account).await,
        None => None,
    };
    Ask { audience, account, period: Period::of(cadence, at.map(|time| time.0), now), month, now }
}

/// What the account has used of its monthly quota.
async fn month(limiter: &Limiter, account: &AccountId) -> Option<MonthUse> {
    let view = limiter.view(account).await;
    let monthly = view.policies.into_iter().find(|policy| policy.policy == Policy::Monthly)?;
    let events = |count: i64| u64::try_from(count).unwrap_or_default();
    Some(MonthUse { limit: events(monthly.limit), used: events(monthly.used) })
}

async fn document(components: &Components, request: &Request, ask: &Ask) -> Result<ReportDocument, Problem> {
    let form = Form::of(request.headers())?;
    let report = components.desk.report(ask).await?;
    ReportDocument::write(&report, form, components.desk.signer())
}
