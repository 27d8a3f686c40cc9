//! Metrics as readers see them, in JSON or CSV. Invariant: sums and averages are written with every digit Postgres gave.

use std::borrow::Cow;
use std::fmt::Write;

use poem::{Body, IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::{Enum, Object, ResponseContent};
use serde::Serialize;

use super::answer::Reply;
use super::fresh::AnsweredBy;
use super::text::{Number, Rfc3339};
use crate::domain::time::Timestamp;
use crate::query::{Figures, GroupBy, Metrics, MetricsGroup};

/// What groups are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "GroupBy", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum GroupByBody {
    /// The channel
    Channel,
    /// The hour in `time_zone`
    Hour,
    /// The day in `time_zone`
    Day,
    /// The name
    EventName,
    /// The source; the empty text for events without one
    Source,
}

impl From<GroupByBody> for GroupBy {
    fn from(body: GroupByBody) -> Self {
        match body {
            GroupByBody::Channel => Self::Channel,
            GroupByBody::Hour => Self::Hour,
            GroupByBody::Day => Self::Day,
            GroupByBody::EventName => Self::EventName,
            GroupByBody::Source => Self::Source,
        }
    }
}

/// What the events' values add up to; exact decimals, so more digits than a double holds may come.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ValueFigures")]
struct ValueBody {
    /// Events with a value
    count: u64,
    /// Their sum
    #[oai(nullable)]
    sum: Option<Number>,
    /// Their average
    #[oai(nullable)]
    average: Option<Number>,
}

/// One group.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "MetricsGroup")]
struct GroupBody {
    /// Its name: an hour as its start with the zone's offset, a day as its date, else the text itself
    group: String,
    /// Its events
    total_events: u64,
    /// Its users; null when they cannot be told
    #[oai(nullable)]
    unique_users: Option<u64>,
    /// Its values
    value: ValueBody,
}

/// The question, for the echo.
pub(super) struct Echo {
    /// The name.
    pub(super) event_name: String,
    /// First second, when given.
    pub(super) from: Option<Timestamp>,
    /// Last second, when given.
    pub(super) to: Option<Timestamp>,
    /// The groups, when given.
    pub(super) grouped_by: Option<GroupByBody>,
}

/// Events, users and values of one event name.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Metrics", skip_serializing_if_is_none)]
pub(super) struct MetricsBody {
    /// The name
    event_name: String,
    /// All events of the range
    total_events: u64,
    /// All users of the range; null when they cannot be told
    #[oai(nullable)]
    unique_users: Option<u64>,
    /// First second, when it was given
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Rfc3339>,
    /// Last second, when it was given
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Rfc3339>,
    /// The groups, when they were asked for
    #[serde(skip_serializing_if = "Option::is_none")]
    grouped_by: Option<GroupByBody>,
    /// A page of groups, by ascending name or time
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Vec<GroupBody>>,
    /// Where the next page of groups starts; null at the end
    #[oai(nullable)]
    next_cursor: Option<String>,
    /// All values of the range
    value: ValueBody,
    /// Whether users are estimated
    approximate: bool,
    /// When they are: the truth is within this part of an estimate, 95 times in 100
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
}

/// A table in CSV (RFC 4180), with a heading.
pub(super) struct Csv(String);

/// The answer in the form the client accepts.
#[derive(ResponseContent)]
#[allow(clippy::large_enum_variant, reason = "made once an answer; poem-openapi knows no boxed content")]
pub(super) enum MetricsContent {
    /// JSON
    Json(Reply<MetricsBody>),
    /// CSV: the groups, or one line when none were asked for
    Csv(Csv),
}

impl MetricsContent {
    /// The answer to a question.
    pub(super) fn new(echo: Echo, metrics: Metrics, csv: bool) -> Self {
        if csv { Self::Csv(Csv::new(&echo, &metrics)) } else { Self::Json(Reply(body(echo, metrics))) }
    }
}

fn body(echo: Echo, metrics: Metrics) -> MetricsBody {
    let freshness = metrics.freshness;
    let data = metrics.groups.into_iter().map(group).collect();
    MetricsBody {
        event_name: echo.event_name,
        total_events: metrics.total.measured.events,
        unique_users: metrics.total.unique_users,
        from: echo.from.map(Rfc3339),
        to: echo.to.map(Rfc3339),
        data: echo.grouped_by.map(|_| data),
        grouped_by: echo.grouped_by,
        next_cursor: metrics.next_cursor,
        value: value(metrics.total),
        approximate: metrics.approximation.is_some(),
        relative_error: metrics.approximation.map(|approximation| approximation.relative_error),
        unseen_events: metrics.approximation.map(|approximation| approximation.unseen_events),
        data_as_of: freshness.data_as_of.map(Rfc3339),
        lag_seconds: freshness.lag_seconds,
        answered_by: freshness.into(),
    }
}

fn group(MetricsGroup { group, figures }: MetricsGroup) -> GroupBody {
    GroupBody {
        group,
        total_events: figures.measured.events,
        unique_users: figures.unique_users,
        value: value(figures),
    }
}

fn value(figures: Figures) -> ValueBody {
    let number = |text: Option<String>| text.and_then(|text| Number::new(Cow::Owned(text)));
    let measured = figures.measured;
    ValueBody { count: measured.values, sum: number(measured.sum), average: number(measured.average) }
}

impl Csv {
    fn new(echo: &Echo, metrics: &Metrics) -> Self {
        let mut table =
            String::from("group,total_events,unique_users,value_count,value_sum,value_average,approximate\r\n");
        let mut line = |group: &str, figures: &Figures| {
            let users = figures.unique_users.map(|users| users.to_string()).unwrap_or_default();
            let (measured, approximate) = (&figures.measured, metrics.approximation.is_some());
            let (sum, average) = (measured.sum.as_deref(), measured.average.as_deref());
            // Writing to a String cannot fail.
            write!(
                table,
                "{},{},{users},{},{},{},{approximate}\r\n",
                field(group),
                measured.events,
                measured.values,
                sum.unwrap_or_default(),
                average.unwrap_or_default()
            )
            .unwrap_or_default();
        };
        match echo.grouped_by {
            Some(_) => metrics.groups.iter().for_each(|group| line(&group.group, &group.figures)),
            None => line(&echo.event_name, &metrics.total),
        }
        Self(table)
    }
}

/// A text as a CSV field. What a spreadsheet would run as a formula gets a quote in front.
fn field(text: &str) -> Cow<'_, str> {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !formula && !text.contains(['"', ',', '\r', '\n']) {
        return Cow::Borrowed(text);
    }
    let guard = if formula { "'" } else { "" };
    Cow::Owned(format!("\"{guard}{}\"", text.replace('"', "\"\"")))
}

impl Payload for Csv {
    const CONTENT_TYPE: &'static str = "text/csv";

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))
    }
}

impl IntoResponse for Csv {
    fn into_response(self) -> Response {
        Response::builder().content_type("text/csv; charset=utf-8; header=present").body(Body::from_string(self.0))
    }
}

/// Whether the client would rather have CSV than JSON: it names `text/csv`, and JSON only after it or not at all.
pub(super) fn wants_csv(accept: Option<&str>) -> bool {
    let ranges = accept.unwrap_or_default().split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
    for range in ranges {
        match range {
            "text/csv" | "text/*" => return true,
            "application/json" | "application/*" | "*/*" => return false,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_given_to_those_who_ask_for_it_first() {
        assert!(wants_csv(Some("text/csv")) && wants_csv(Some("text/html, text/csv;q=0.9, */*")));
        assert!(!wants_csv(None) && !wants_csv(Some("*/*")) && !wants_csv(Some("application/json, text/csv")));
    }

    #[test]
    fn fields_cannot_break_out_of_their_cell() {
        assert_eq!(field("web"), "web");
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(field("=1+1"), "\"'=1+1\"");
    }
}
