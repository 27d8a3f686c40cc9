//! What accounts use, and trials of quotas on it. Invariant: nothing is changed here, and what is an estimate says so.

use poem_openapi::param::{Path, Query};
use poem_openapi::{Enum, Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::super::super::admin::{Form, Operator, Settings, account_of};
use super::super::super::answer::Reply;
use super::super::super::caller::QuotasAdmin;
use super::super::super::failure::{Failure, Read, Write};
use super::super::super::problem::{Code, Problem};
use super::super::super::text::{Rfc3339, Time};
use super::super::Group;
use crate::domain::outcome::{Fault, Policy};
use crate::domain::quota::QuotaPatch;
use crate::domain::time::Timestamp;
use crate::domain::usage::{Minute, Use};
use crate::quotas::{MAX_MINUTES, Tried};

/// How far a trial looks back.
const DAYS: u16 = 7;

/// `/v1/admin/accounts/{account_id}/usage` and `/simulate`.
pub(in crate::http) struct UsageAdminApi;

/// How finely use is told.
#[derive(Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "UsageResolution", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum Resolution {
    /// By second, for the last hour
    Second,
    /// By minute, for 30 days
    Minute,
}

fn by_minute() -> Resolution {
    Resolution::Minute
}

fn a_day() -> u16 {
    MAX_MINUTES
}

/// Use in one second or minute
#[derive(Object, Serialize)]
#[oai(rename = "UsageStretch")]
struct StretchBody {
    /// Its beginning
    at: Rfc3339,
    /// Sound events that asked to be taken; a request refused unread counts as one
    offered: i64,
    /// Those that were taken
    accepted: i64,
    /// Those over a limit
    refused: i64,
    /// Body bytes, of refused requests too
    bytes: i64,
    /// Events offered in the busiest second
    peak_events: i64,
    /// When that was
    peak_at: Rfc3339,
}

/// Use of an account
#[derive(Object, Serialize)]
#[oai(rename = "Usage")]
struct UsageBody {
    /// The account
    account_id: String,
    /// How finely it is told
    resolution: Resolution,
    /// Seconds or minutes in which it used something, the oldest first
    data: Vec<StretchBody>,
    /// Ask with it as `from` for the next page; null at the end
    #[oai(nullable)]
    next_from: Option<Rfc3339>,
}

/// A quota to try
#[derive(Object, Deserialize)]
#[oai(rename = "NewTrial")]
#[serde(deny_unknown_fields)]
struct NewTrial {
    /// What would differ from the defaults
    quota: Settings,
    /// Days to look back
    #[oai(default = "a_week", validator(minimum(value = "1"), maximum(value = "7")))]
    #[serde(default = "a_week")]
    days: u16,
}

fn a_week() -> u16 {
    DAYS
}

/// What a policy would have refused
#[derive(Object, Serialize)]
#[oai(rename = "TrialPolicy")]
struct PolicyBody {
    /// The policy
    policy: String,
    /// Events it would have refused
    refused: i64,
    /// Minutes with a refusal
    minutes: i64,
    /// First minute with one
    first_at: Rfc3339,
    /// The last one
    last_at: Rfc3339,
    /// Whether the number rests on the minute's busiest second alone: always so for `burst`
    estimate: bool,
}

/// A minute with refusals
#[derive(Object, Serialize)]
#[oai(rename = "TrialMinute")]
struct MinuteBody {
    /// Its beginning
    at: Rfc3339,
    /// The policy that would have refused
    policy: String,
    /// How many events
    refused: i64,
}

/// What would have become of an account's events under a quota
#[derive(Object, Serialize)]
#[oai(rename = "Trial")]
struct TrialBody {
    /// The account
    account_id: String,
    /// The quota that was tried, defaults included
    quota: Settings,
    /// From here
    from: Rfc3339,
    /// Until before here
    to: Rfc3339,
    /// Events offered
    offered: i64,
    /// Those that would have been refused
    refused: i64,
    /// Those that were refused at the time
    refused_then: i64,
    /// By policy; those that would have refused nothing are absent
    policies: Vec<PolicyBody>,
    /// Minutes with refusals, the first 500
    minutes: Vec<MinuteBody>,
    /// How to read it
    notes: Vec<String>,
}

#[OpenApi(tag = "Group::Admin")]
impl UsageAdminApi {
    /// See what an account uses
    ///
    /// Needs `role: operator` and the scope `quotas:admin`. By minute for 30 days, half a minute behind; by second for the last hour, a few
    /// seconds behind.
    #[oai(path = "/v1/admin/accounts/:account_id/usage", method = "get", operation_id = "getUsage")]
    #[allow(clippy::too_many_arguments, reason = "the document wants flat parameters")]
    async fn usage(
        &self,
        operator: Operator<QuotasAdmin>,
        /// The account
        #[oai(validator(min_length = 1, max_length = 128, pattern = "^[!-~]+$"))]
        account_id: Path<String>,
        /// How finely
        #[oai(default = "by_minute")]
        resolution: Query<Resolution>,
        /// From this time; an hour before the end when absent
        from: Query<Option<Time>>,
        /// Until this time; now when absent
        to: Query<Option<Time>>,
        /// Most minutes of the page
        #[oai(default = "a_day", validator(minimum(value = "1"), maximum(value = "1440")))]
        limit: Query<u16>,
    ) -> Result<Reply<UsageBody>, Failure<Read>> {
        let (account, now) = (account_of(&account_id.0)?, Timestamp::now());
        let to = to.0.map_or(now, |time| time.0).unix_seconds() + 1;
        let from = from.0.map_or(to - 3_600, |time| time.0.unix_seconds());
        let quotas = &operator.components.quotas;
        let (data, next) = match resolution.0 {
            Resolution::Minute => {
                let (minutes, next) = quotas.minutes(&account, (from, to), limit.0).await.map_err(Problem::from)?;
                (minutes.iter().map(StretchBody::of_minute).collect(), next)
            }
            Resolution::Second => {
                let seconds = quotas.seconds(&account, (from, to), now.unix_seconds()).await;
                let seconds =
                    seconds.ok_or_else(|| Problem::new(Code::Unavailable, "seconds are in Redis, which is away"))?;
                (seconds.iter().map(StretchBody::of_second).collect(), None)
            }
        };
        let (account_id, next_from) = (account.to_string(), next.map(time));
        Ok(Reply(UsageBody { account_id, resolution: resolution.0, data, next_from }))
    }

    /// Try a quota on the last days
    ///
    /// Needs `role: operator` and the scope `quotas:admin`. Replays what the account offered, by minute, through the limiter's own
    /// arithmetic; nothing is changed. One trial runs on an instance at a time.
    #[oai(path = "/v1/admin/accounts/:account_id/simulate", method = "post", operation_id = "simulateQuota")]
    async fn simulate(
        &self,
        operator: Operator<QuotasAdmin>,
        /// The account
        #[oai(validator(min_length = 1, max_length = 128, pattern = "^[!-~]+$"))]
        account_id: Path<String>,
        new: Form<NewTrial>,
    ) -> Result<Reply<TrialBody>, Failure<Write>> {
        let (account, Form(new)) = (account_of(&account_id.0)?, new);
        let proposal: QuotaPatch = new.quota.patch()?;
        if !(1..=DAYS).contains(&new.days) {
            let fault = Fault::new("/days", "range", format!("must be 1 to {DAYS}"));
            return Err(Problem::new(Code::InvalidRequest, "so far back nothing is kept")
                .with_faults(vec![fault])
                .into());
        }
        let tried = operator.components.quotas.try_quota(&account, &proposal, new.days, Timestamp::now()).await;
        let tried = tried.map_err(Problem::from)?;
        let tried = tried.ok_or_else(|| Problem::new(Code::Unavailable, "another trial runs here; try again soon"))?;
        Ok(Reply(TrialBody::new(account.to_string(), &tried)))
    }
}

fn time(seconds: i64) -> Rfc3339 {
    Rfc3339(Timestamp::from_unix_seconds(seconds).unwrap_or(Timestamp::EPOCH))
}

impl StretchBody {
    fn new(at: i64, used: &Use, (peak_events, peak_at): (i64, i64)) -> Self {
        let Use { offered, accepted, refused, bytes } = *used;
        Self { at: time(at), offered, accepted, refused, bytes, peak_events, peak_at: time(peak_at) }
    }

    fn of_minute(minute: &Minute) -> Self {
        Self::new(minute.at, &minute.sums, (minute.peak_events, minute.at + i64::from(minute.peak_second)))
    }

    fn of_second((at, used): &(i64, Use)) -> Self {
        Self::new(*at, used, (used.offered, *at))
    }
}

impl TrialBody {
    fn new(account_id: String, tried: &Tried) -> Self {
        let trial = &tried.trial;
        let policies = trial.by_policy.iter().map(|(policy, refused)| PolicyBody {
            policy: policy.name().to_owned(),
            refused: refused.events,
            minutes: refused.minutes,
            first_at: time(refused.first),
            last_at: time(refused.last),
            estimate: *policy == Policy::Burst,
        });
        let minutes = trial.minutes.iter().map(|(at, policy, refused)| MinuteBody {
            at: time(*at),
            policy: policy.name().to_owned(),
            refused: *refused,
        });
        let notes = [
            "burst is an estimate: of each minute only its sum and its busiest second are known, the rest is taken as evenly spread",
            "sustained, bytes and monthly are near: the limiter decides by the second, what is known is by the minute",
            "a request that was refused unread counts as one event, however many it would have brought",
            "concurrent cannot be tried: requests in flight are not recorded",
        ];
        Self {
            account_id,
            quota: Settings::from(&tried.quota),
            from: time(tried.from),
            to: time(tried.to),
            offered: trial.offered,
            refused: trial.refused,
            refused_then: trial.refused_then,
            policies: policies.collect(),
            minutes: minutes.collect(),
            notes: notes.map(str::to_owned).to_vec(),
        }
    }
}
