//! Quotas on the wire. Invariant: what an operator reads of a quota can be sent back as it is, and means the same.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::super::api::ModeBody;
use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use super::super::text::Rfc3339;
use super::change::{Etag, moved};
use crate::domain::id::AccountId;
use crate::domain::outcome::Fault;
use crate::domain::quota::{Limit, Quota, QuotaError, QuotaOverride, QuotaPatch};
use crate::domain::time::Timestamp;
use crate::quotas::{Author, MAX_OVERRIDES, MAX_QUOTAS, OverrideRow, QuotaAct, QuotaChange, QuotaChanged, Standing};

/// One limit of a quota
#[derive(Clone, Copy, Object, Serialize, Deserialize)]
#[oai(rename = "QuotaLimit")]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct LimitBody {
    /// Most units in the policy's window; 0 blocks
    #[oai(validator(minimum(value = "0"), maximum(value = "1000000000000")))]
    limit: i64,
    /// What happens above it
    #[oai(default = "enforce")]
    #[serde(default = "enforce")]
    mode: ModeBody,
}

fn enforce() -> ModeBody {
    ModeBody::Enforce
}

/// Parts of a quota; what is absent is as it is below: in the stored quota, or by default
#[derive(Clone, Copy, Default, Object, Serialize, Deserialize)]
#[oai(rename = "QuotaSettings", skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Settings {
    /// Events in 60 seconds
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sustained: Option<LimitBody>,
    /// Events in one second
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst: Option<LimitBody>,
    /// Body bytes in 60 seconds
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<LimitBody>,
    /// Requests in flight on one instance
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concurrent: Option<LimitBody>,
    /// Events in a calendar month (UTC); what is over is refused with 402
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monthly: Option<LimitBody>,
    /// Minutes of unused `sustained` allowance that are saved up
    #[oai(validator(minimum(value = "0"), maximum(value = "1440")))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bank_minutes: Option<i64>,
    /// Share among accounts where something runs short
    #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<i64>,
}

/// Where an override stands.
#[derive(Clone, Copy, Enum, Serialize)]
#[oai(rename = "OverrideState", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum StateBody {
    /// It has not begun
    Planned,
    /// It counts
    Active,
    /// It no longer counts
    Ended,
}

/// A change for a time
#[derive(Object, Serialize)]
#[oai(rename = "QuotaOverride", skip_serializing_if_is_none)]
pub(in crate::http) struct OverrideBody {
    /// Names it
    override_id: i64,
    /// Where it stands
    state: StateBody,
    /// What differs while it is active
    quota: Settings,
    /// First instant it counts
    starts_at: Rfc3339,
    /// First instant it no longer counts
    ends_at: Rfc3339,
    /// Why
    reason: String,
    /// Who
    actor: String,
    /// Who ended it before its time
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<String>,
}

/// What an account may do, and what that is made of
#[derive(Object, Serialize)]
#[oai(rename = "Quota")]
pub(in crate::http) struct QuotaBody {
    /// The account
    account_id: String,
    /// What holds now: the defaults, with what is stored laid over them, with the active overrides laid over that
    effective: Settings,
    /// What is stored
    stored: Settings,
    /// Overrides that have not ended, in the order they are laid over it
    overrides: Vec<OverrideBody>,
}

impl QuotaBody {
    pub(in crate::http) fn new(account: &AccountId, standing: &Standing, now: Timestamp) -> Self {
        let overrides = standing.stored.overrides.iter();
        Self {
            account_id: account.to_string(),
            effective: Settings::from(&standing.effective),
            stored: Settings::from(&standing.stored.patch),
            overrides: overrides.map(|change| OverrideBody::new(change, None, now)).collect(),
        }
    }
}

impl OverrideBody {
    fn new(change: &QuotaOverride, ended_by: Option<String>, now: Timestamp) -> Self {
        let state = match change {
            change if change.is_active(now) => StateBody::Active,
            change if now < change.starts_at && ended_by.is_none() => StateBody::Planned,
            _ => StateBody::Ended,
        };
        Self {
            override_id: change.id,
            state,
            quota: Settings::from(&change.patch),
            starts_at: Rfc3339(change.starts_at),
            ends_at: Rfc3339(change.ends_at),
            reason: change.reason.clone(),
            actor: change.actor.clone(),
            ended_by,
        }
    }

    pub(in crate::http) fn of_row(row: OverrideRow, now: Timestamp) -> Self {
        Self::new(&row.change, row.ended_by, now)
    }

    pub(in crate::http) fn of_new(change: &QuotaOverride, now: Timestamp) -> Self {
        Self::new(change, None, now)
    }
}

impl Settings {
    /// The patch, when every value is in its range.
    ///
    /// # Errors
    /// A problem that points at the first value that is not.
    pub(in crate::http) fn patch(self) -> Result<QuotaPatch, Problem> {
        let limit = |body: Option<LimitBody>| body.map(|body| Limit { limit: body.limit, mode: body.mode.into() });
        let patch = QuotaPatch {
            sustained: limit(self.sustained),
            burst: limit(self.burst),
            bytes: limit(self.bytes),
            concurrent: limit(self.concurrent),
            monthly: limit(self.monthly),
            bank_minutes: self.bank_minutes,
            weight: self.weight,
        };
        patch.checked().map_err(|error| {
            let pointer = match error {
                QuotaError::Limit(policy) => format!("/quota/{}/limit", policy.name()),
                QuotaError::Bank => "/quota/bank_minutes".to_owned(),
                QuotaError::Weight => "/quota/weight".to_owned(),
            };
            let fault = Fault::new(pointer, "range", error.to_string());
            Problem::new(Code::InvalidRequest, "this is no quota").with_faults(vec![fault])
        })
    }
}

impl From<Limit> for LimitBody {
    fn from(limit: Limit) -> Self {
        Self { limit: limit.limit, mode: limit.mode.into() }
    }
}

impl From<&QuotaPatch> for Settings {
    fn from(patch: &QuotaPatch) -> Self {
        Self {
            sustained: patch.sustained.map(Into::into),
            burst: patch.burst.map(Into::into),
            bytes: patch.bytes.map(Into::into),
            concurrent: patch.concurrent.map(Into::into),
            monthly: patch.monthly.map(Into::into),
            bank_minutes: patch.bank_minutes,
            weight: patch.weight,
        }
    }
}

impl From<&Quota> for Settings {
    fn from(quota: &Quota) -> Self {
        Self {
            sustained: Some(quota.sustained.into()),
            burst: Some(quota.burst.into()),
            bytes: Some(quota.bytes.into()),
            concurrent: Some(quota.concurrent.into()),
            monthly: quota.monthly.map(Into::into),
            bank_minutes: Some(quota.bank_minutes),
            weight: Some(quota.weight),
        }
    }
}

/// Makes a change; gives the new version, and the override that was made.
///
/// # Errors
/// 404, 409, 412, 428 (when `must_match` and no version is named), or what the store says.
pub(in crate::http) async fn change_quota<N>(
    caller: &Caller<N>,
    account: &AccountId,
    (if_match, must_match): (Option<&str>, bool),
    (act, author): (QuotaAct, &Author),
) -> Result<(Etag, Option<i64>), Problem> {
    let quotas = &caller.components.quotas;
    let expected = Etag::expected(if_match);
    if must_match && expected.is_none() {
        let found = quotas.standing(account, Timestamp::now()).await?.stored.version;
        let detail = "read the quota, and send its ETag as If-Match";
        return Err(moved(Problem::new(Code::PreconditionRequired, detail), found));
    }
    match quotas.change(account, &QuotaChange { expected, act }, author).await? {
        QuotaChanged::Done { version, override_id } => Ok((Etag(version), override_id)),
        QuotaChanged::Otherwise(found) => {
            Err(moved(Problem::new(Code::PreconditionFailed, "it has been changed since you read it"), found))
        }
        QuotaChanged::Missing => Err(Problem::new(Code::NotFound, "the account has no such override")),
        QuotaChanged::Ended => Err(Problem::new(Code::Conflict, "the override has ended already")),
        QuotaChanged::Full => Err(Problem::new(
            Code::Conflict,
            format!(
                "{MAX_OVERRIDES} overrides of an account, or {MAX_QUOTAS} accounts with quotas, is all there may be"
            ),
        )),
    }
}
