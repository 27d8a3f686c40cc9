//! Limits. Invariant: an account sees its own only, and asking costs it nothing.

use poem_openapi::{Enum, Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::super::answer::{LaneBody, Reply};
use super::super::caller::{AnyScope, Caller};
use super::super::failure::{Failure, Read};
use super::Group;
use crate::domain::quota::Mode;
use crate::limit::PolicyView;

/// `GET /v1/limits`.
pub(in super::super) struct LimitsApi;

/// What happens above a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename = "PolicyMode", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum ModeBody {
    /// What is over is refused
    Enforce,
    /// What is over is counted and let through
    Shadow,
    /// Not looked at
    Off,
}

/// One policy and its use.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "PolicyUse")]
struct PolicyBody {
    /// `sustained`, `burst`, `bytes`, `concurrent` or `monthly`
    name: String,
    /// Most units in the window, what was saved up included
    #[oai(validator(minimum(value = "0")))]
    limit: i64,
    /// Length of the window; 0 for what is in flight
    #[oai(validator(minimum(value = "0")))]
    window_seconds: i64,
    /// Units used
    #[oai(validator(minimum(value = "0")))]
    used: i64,
    /// Units left
    #[oai(validator(minimum(value = "0")))]
    remaining: i64,
    /// Seconds after which all that is used has left the window
    #[oai(validator(minimum(value = "0")))]
    reset_seconds: i64,
    /// What happens above the limit
    mode: ModeBody,
}

/// The limits of the account.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Limits")]
struct LimitsBody {
    /// Policies that are not off
    policies: Vec<PolicyBody>,
    /// Lane of your next event, at the instance that answers
    lane: LaneBody,
}

#[OpenApi(tag = "Group::Limits")]
impl LimitsApi {
    /// See your limits and their use now
    ///
    /// Needs a token with whatever scope. Sending within `remaining` over the next `window_seconds` is never refused.
    #[oai(path = "/v1/limits", method = "get", operation_id = "getLimits")]
    async fn limits(&self, caller: Caller<AnyScope>) -> Result<Reply<LimitsBody>, Failure<Read>> {
        let view = caller.components.limiter.view(&caller.tenant.account_id).await;
        let policies = view.policies.into_iter().map(PolicyBody::from).collect();
        let lane = caller.components.lanes.of(&caller.tenant.account_id).into();
        Ok(Reply(LimitsBody { policies, lane }))
    }
}

impl From<PolicyView> for PolicyBody {
    fn from(view: PolicyView) -> Self {
        Self {
            name: view.policy.name().to_owned(),
            limit: view.limit,
            window_seconds: view.window_seconds,
            used: view.used,
            remaining: view.remaining,
            reset_seconds: view.reset_seconds,
            mode: view.mode.into(),
        }
    }
}

impl From<Mode> for ModeBody {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Enforce => Self::Enforce,
            Mode::Shadow => Self::Shadow,
            Mode::Off => Self::Off,
        }
    }
}

impl From<ModeBody> for Mode {
    fn from(mode: ModeBody) -> Self {
        match mode {
            ModeBody::Enforce => Self::Enforce,
            ModeBody::Shadow => Self::Shadow,
            ModeBody::Off => Self::Off,
        }
    }
}
