//! Metrics and live counters. Invariant: only the caller's account is ever counted.

use poem::Request;
use poem::http::header;
use poem_openapi::param::Query;
use poem_openapi::{ApiResponse, OpenApi};

use super::super::answer::Reply;
use super::super::caller::{Caller, MetricsRead};
use super::super::counted::CountersBody;
use super::super::failure::{Failure, Read};
use super::super::fresh::wait_for;
use super::super::measured::{Echo, GroupByBody, MetricsContent, wants_csv};
use super::super::problem::Problem;
use super::super::text::Time;
use super::Group;
use crate::domain::time::Timestamp;
use crate::query::MetricsQuery;

const PAGE: u16 = 50;
const MINUTES: u16 = 60;

/// `GET /v1/metrics`, its alias, and `GET /v1/counters`.
pub(in super::super) struct MetricsApi;

/// Metrics in the form the client accepts.
#[derive(ApiResponse)]
enum Measured {
    /// Totals and groups
    #[oai(status = 200)]
    Measured(MetricsContent),
}

/// What the client asks.
struct Asked {
    echo: Echo,
    time_zone: Option<String>,
    cursor: Option<String>,
    limit: u16,
    min_receipt: Option<String>,
}

fn page_length() -> u16 {
    PAGE
}

fn minutes() -> u16 {
    MINUTES
}

fn utc() -> String {
    "UTC".to_owned()
}

#[OpenApi(tag = "Group::Metrics")]
impl MetricsApi {
    /// Measure one event name
    ///
    /// Needs the scope `metrics:read`. Totals, sums and averages are exact. Users are counted one by one in ranges of up to 50,000
    /// events of the account, and estimated above: `approximate` and `relative_error` say so. `Accept: text/csv` gives the groups as a table.
    #[oai(path = "/v1/metrics", method = "get", operation_id = "getMetrics")]
    #[allow(clippy::too_many_arguments, reason = "the document wants flat parameters")]
    async fn metrics(
        &self,
        request: &Request,
        caller: Caller<MetricsRead>,
        /// Which events
        #[oai(validator(min_length = 1, max_length = 255))]
        event_name: Query<String>,
        /// First second; everything kept when absent
        from: Query<Option<Time>>,
        /// Last second; everything so far when absent
        to: Query<Option<Time>>,
        /// Groups to part the totals into
        group_by: Query<Option<GroupByBody>>,
        /// IANA time zone of hours and days
        #[oai(default = "utc")]
        time_zone: Query<String>,
        /// Most groups of the page
        #[oai(default = "page_length", validator(minimum(value = "1"), maximum(value = "250")))]
        limit: Query<u16>,
        /// Where the page of groups starts: `next_cursor` of the page before
        cursor: Query<Option<String>>,
        /// A receipt of yours: wait up to five seconds until its event counts
        min_receipt: Query<Option<String>>,
    ) -> Result<Measured, Failure<Read>> {
        let echo = echo(event_name.0, (from.0, to.0), group_by.0);
        let (cursor, min_receipt) = (cursor.0, min_receipt.0);
        let asked = Asked { echo, time_zone: Some(time_zone.0), cursor, limit: limit.0, min_receipt };
        measure(request, &caller, asked).await.map_err(Into::into)
    }

    /// Measure one event name (alias of `/v1/metrics`)
    ///
    /// Needs the scope `metrics:read`. Not to be taken for the Prometheus metrics of the management port.
    #[oai(path = "/metrics", method = "get", operation_id = "getMetricsAlias")]
    #[allow(clippy::too_many_arguments, reason = "the document wants flat parameters")]
    async fn metrics_alias(
        &self,
        request: &Request,
        caller: Caller<MetricsRead>,
        /// Which events
        #[oai(validator(min_length = 1, max_length = 255))]
        event_name: Query<String>,
        /// First second; everything kept when absent
        from: Query<Option<Time>>,
        /// Last second; everything so far when absent
        to: Query<Option<Time>>,
        /// Groups to part the totals into
        group_by: Query<Option<GroupByBody>>,
    ) -> Result<Measured, Failure<Read>> {
        let echo = echo(event_name.0, (from.0, to.0), group_by.0);
        let asked = Asked { echo, time_zone: None, cursor: None, limit: 250, min_receipt: None };
        measure(request, &caller, asked).await.map_err(Into::into)
    }

    /// Watch events come in
    ///
    /// Needs the scope `metrics:read`. Events of the last hour by minute and by name, a fraction of a second old, counted by the
    /// minute in which they happened. Live counters may be off by a batch for two minutes after an outage; books are kept by
    /// `/v1/metrics` and the summary.
    #[oai(path = "/v1/counters", method = "get", operation_id = "getCounters")]
    async fn counters(
        &self,
        caller: Caller<MetricsRead>,
        /// How many minutes, the current one included
        #[oai(default = "minutes", validator(minimum(value = "1"), maximum(value = "60")))]
        minutes: Query<u16>,
    ) -> Result<Reply<CountersBody>, Failure<Read>> {
        let (queries, account) = (&caller.components.queries, &caller.tenant.account_id);
        let counters = queries.counters(account, minutes.0, Timestamp::now()).await.map_err(Problem::from)?;
        Ok(Reply(CountersBody::new(account, counters)))
    }
}

fn echo(event_name: String, (from, to): (Option<Time>, Option<Time>), grouped_by: Option<GroupByBody>) -> Echo {
    Echo { event_name, from: from.map(|time| time.0), to: to.map(|time| time.0), grouped_by }
}

async fn measure(request: &Request, caller: &Caller<MetricsRead>, asked: Asked) -> Result<Measured, Problem> {
    let (queries, account, now) = (&caller.components.queries, &caller.tenant.account_id, Timestamp::now());
    let echo = asked.echo;
    let query = MetricsQuery {
        event_name: echo.event_name.clone(),
        window: queries.whole_window(echo.from, echo.to, now)?,
        group_by: echo.grouped_by.map(Into::into),
        time_zone: asked.time_zone.as_deref().unwrap_or("UTC").parse()?,
        cursor: asked.cursor,
        limit: asked.limit,
        database: wait_for(caller, asked.min_receipt.as_deref()).await?,
    };
    let metrics = queries.metrics(account, &query, Timestamp::now()).await?;
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    Ok(Measured::Measured(MetricsContent::new(echo, metrics, wants_csv(accept))))
}
