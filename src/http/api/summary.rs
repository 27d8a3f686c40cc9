//! Summaries. Invariant: an account is summed up for itself only.

use bytes::{Bytes, BytesMut};
use poem_openapi::param::{Path, Query};
use poem_openapi::types::ToJSON;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;

use super::super::answer::Worded;
use super::super::caller::{Caller, MetricsRead};
use super::super::failure::{Failure, Read};
use super::super::fresh::{AnsweredBy, wait_for};
use super::super::problem::{Code, Problem};
use super::super::text::{Rfc3339, Time};
use super::Group;
use crate::domain::time::{SECOND, Timestamp};
use crate::query::{Database, EventCount, Summary, Told, UserCount, Words};

/// `GET /v1/accounts/{account_id}/summary` and its alias.
pub(in super::super) struct SummaryApi;

/// A range of whole seconds, both ends included.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Window")]
struct WindowBody {
    /// First second
    from: Rfc3339,
    /// Last second
    to: Rfc3339,
}

/// Events of one name.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "EventCount")]
struct CountBody {
    /// The name
    event_name: String,
    /// How many
    events: u64,
}

/// Events of one user.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "UserCount")]
struct UserBody {
    /// The user
    user_id: String,
    /// How many
    events: u64,
}

/// Counts and top users of one account.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Summary", skip_serializing_if_is_none)]
struct SummaryBody {
    /// The account
    account_id: String,
    /// What it is about: the range asked for, or that range widened to whole quarters of an hour
    window: WindowBody,
    /// All events of the window
    total_events: u64,
    /// By name, most frequent first
    counts: Vec<CountBody>,
    /// Most active first; null when there are too many events to tell
    #[oai(nullable)]
    top_users: Option<Vec<UserBody>>,
    /// Whether top users are estimated
    approximate: bool,
    /// When they are: the truth is within this part of the last one's number
    #[serde(skip_serializing_if = "Option::is_none")]
    relative_error: Option<f64>,
    /// When they are: events no estimate has seen yet
    #[serde(skip_serializing_if = "Option::is_none")]
    unseen_events: Option<u64>,
    /// Whatever was received before this time is counted; null until a first event was stored
    #[oai(nullable)]
    data_as_of: Option<Rfc3339>,
    /// Seconds between then and the answer; null with `data_as_of`
    #[oai(nullable, validator(minimum(value = "0")))]
    lag_seconds: Option<f64>,
    /// Which database answered
    answered_by: AnsweredBy,
    /// Whether this is the last answer known, shown because the database is away
    stale: bool,
}

/// A summary and its age.
#[derive(ApiResponse)]
enum Summed {
    /// The summary
    #[oai(status = 200)]
    Summed(
        Worded<SummaryBody>,
        /// Seconds since the database was asked
        #[oai(header = "Age")]
        i64,
    ),
}

fn users() -> u16 {
    10
}

#[OpenApi(tag = "Group::Summaries")]
impl SummaryApi {
    /// Sum up an account
    ///
    /// Needs the scope `metrics:read` and the account of the token. At most 60 seconds old; `data_as_of` says how far it reaches.
    /// Where the range holds more than 50,000 events it is widened to whole quarters of an hour, and `window` says so.
    #[oai(path = "/v1/accounts/:account_id/summary", method = "get", operation_id = "getSummary")]
    #[allow(clippy::too_many_arguments, reason = "the document wants flat parameters")]
    async fn summary(
        &self,
        caller: Caller<MetricsRead>,
        /// The account of the token
        account_id: Path<String>,
        /// First second; 24 hours before the end when absent
        from: Query<Option<Time>>,
        /// Last second; the end of the current quarter of an hour when absent
        to: Query<Option<Time>>,
        /// Most users to name
        #[oai(default = "users", validator(minimum(value = "1"), maximum(value = "100")))]
        top: Query<u16>,
        /// A receipt of yours: wait up to five seconds until its event counts
        min_receipt: Query<Option<String>>,
    ) -> Result<Summed, Failure<Read>> {
        let database = wait_for_own(&caller, &account_id.0, min_receipt.0.as_deref()).await?;
        sum_up(&caller, (from.0, to.0), top.0, database).await.map_err(Into::into)
    }

    /// Sum up an account (alias of `/v1/accounts/{account_id}/summary`)
    ///
    /// Needs the scope `metrics:read` and the account of the token.
    #[oai(path = "/accounts/:account_id/summary", method = "get", operation_id = "getSummaryAlias")]
    #[allow(clippy::too_many_arguments, reason = "the document wants flat parameters")]
    async fn summary_alias(
        &self,
        caller: Caller<MetricsRead>,
        /// The account of the token
        account_id: Path<String>,
        /// First second; 24 hours before the end when absent
        from: Query<Option<Time>>,
        /// Last second; the end of the current quarter of an hour when absent
        to: Query<Option<Time>>,
        /// Most users to name
        #[oai(default = "users", validator(minimum(value = "1"), maximum(value = "100")))]
        top: Query<u16>,
        /// A receipt of yours: wait up to five seconds until its event counts
        min_receipt: Query<Option<String>>,
    ) -> Result<Summed, Failure<Read>> {
        let database = wait_for_own(&caller, &account_id.0, min_receipt.0.as_deref()).await?;
        sum_up(&caller, (from.0, to.0), top.0, database).await.map_err(Into::into)
    }
}

async fn wait_for_own(
    caller: &Caller<MetricsRead>,
    account_id: &str,
    min_receipt: Option<&str>,
) -> Result<Database, Problem> {
    caller.owns(account_id)?;
    wait_for(caller, min_receipt).await
}

async fn sum_up(
    caller: &Caller<MetricsRead>,
    (from, to): (Option<Time>, Option<Time>),
    top: u16,
    database: Database,
) -> Result<Summed, Problem> {
    let (queries, now) = (&caller.components.queries, Timestamp::now());
    let window = queries.window(from.map(|time| time.0), to.map(|time| time.0), now)?;
    let told = queries.told_summary(&caller.tenant.account_id, (window, top), database, now).await?;
    let age = Timestamp::now().micros_since(told.computed_at()).max(0) / SECOND;
    Ok(Summed::Summed(worded(&told, now)?, age))
}

/// Most summaries are asked for again while they are kept: only the first asker pays for the words, all others for the lag.
fn worded(told: &Told, now: Timestamp) -> Result<Worded<SummaryBody>, Problem> {
    let [before, after] = told.words(|| words(&SummaryBody::from(told.summary(now))).unwrap_or_default());
    if before.is_empty() {
        tracing::error!("a summary cannot be written");
        return Err(Problem::new(Code::Internal, ""));
    }
    let mut text = BytesMut::with_capacity(before.len() + after.len() + 24);
    text.extend_from_slice(before);
    match told.lag_seconds(now) {
        Some(lag) => text.extend_from_slice(lag.to_json_string().as_bytes()),
        None => text.extend_from_slice(b"null"),
    }
    text.extend_from_slice(after);
    Ok(Worded::new(text.freeze()))
}

/// The JSON before and after the lag. What follows it holds no text of a tenant, so the last one of its name is it.
fn words(body: &SummaryBody) -> Option<Words> {
    const LAG: &str = "\"lag_seconds\":";
    let text = serde_json::to_string(body).ok()?;
    let at = text.rfind(LAG)? + LAG.len();
    let after = at + text[at..].find(',')?;
    Some([Bytes::copy_from_slice(&text.as_bytes()[..at]), Bytes::copy_from_slice(&text.as_bytes()[after..])])
}

impl From<Summary> for SummaryBody {
    fn from(summary: Summary) -> Self {
        // A window's ends are times already; the fallback is for the type, not for a case.
        let second = |seconds| Rfc3339(Timestamp::from_unix_seconds(seconds).unwrap_or(Timestamp::MAX));
        let window = summary.window;
        Self {
            account_id: summary.account_id.as_str().to_owned(),
            window: WindowBody { from: second(window.from_seconds()), to: second(window.to_seconds()) },
            total_events: summary.total_events,
            counts: summary.counts.into_iter().map(CountBody::from).collect(),
            top_users: summary.top_users.map(|users| users.into_iter().map(UserBody::from).collect()),
            approximate: summary.approximation.is_some(),
            relative_error: summary.approximation.map(|approximation| approximation.relative_error),
            unseen_events: summary.approximation.map(|approximation| approximation.unseen_events),
            data_as_of: summary.freshness.data_as_of.map(Rfc3339),
            lag_seconds: summary.freshness.lag_seconds,
            answered_by: summary.freshness.into(),
            stale: summary.stale,
        }
    }
}

impl From<EventCount> for CountBody {
    fn from(EventCount { event_name, events }: EventCount) -> Self {
        Self { event_name, events }
    }
}

impl From<UserCount> for UserBody {
    fn from(UserCount { user_id, events }: UserCount) -> Self {
        Self { user_id, events }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_leave_room_for_the_lag_alone() {
        let at = Rfc3339(Timestamp::EPOCH);
        let body = SummaryBody {
            account_id: "a".into(),
            window: WindowBody { from: at, to: at },
            total_events: 1,
            counts: vec![CountBody { event_name: "\"lag_seconds\":1,".into(), events: 1 }],
            top_users: Some(vec![]),
            approximate: false,
            relative_error: None,
            unseen_events: None,
            data_as_of: Some(at),
            lag_seconds: Some(0.25),
            answered_by: AnsweredBy::Primary,
            stale: false,
        };
        let [before, after] = words(&body).expect("words");
        let again = [&before[..], b"7.5", &after[..]].concat();
        let again: serde_json::Value = serde_json::from_slice(&again).expect("JSON");
        let mut told = serde_json::to_value(&body).expect("JSON");
        told["lag_seconds"] = 7.5.into();
        assert_eq!(again, told);
        assert!(words(&SummaryBody { lag_seconds: None, ..body }).is_some());
    }
}
