//! What a report says. Invariant: pure: the same sums, silent minutes and incidents give the same report to the last digit, whoever
//! asks and in whatever form.
//!
//! The steps: [`judge`] (one objective over its window) → [`build`] (all of them, with incidents and the [`month`]'s quota) → [`words`] (sentences) →
//! [`csv`] or [`html`] (forms); JSON is the report itself.

pub mod build;
pub mod csv;
pub mod html;
pub mod judge;
pub mod month;
pub mod words;

use serde::Serialize;

use month::MonthLine;

/// For whom a report is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Runs the service: operations and accounts beside the promises.
    Operator,
    /// One account: its own numbers only.
    Account,
    /// Reads one page: promises, trend, incidents.
    Executive,
}

/// A whole report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Who it is made for.
    pub audience: Audience,
    /// Whose numbers; `None` for the whole service.
    pub account_id: Option<String>,
    /// `weekly` or `monthly`.
    pub period: &'static str,
    /// What people call the period.
    pub title: String,
    /// First second, RFC 3339.
    pub from: String,
    /// First second behind it.
    pub to: String,
    /// Whether the period still runs.
    pub running: bool,
    /// When it was made.
    pub generated_at: String,
    /// All of it in two sentences.
    pub summary: String,
    /// The promises, in the order of their file.
    pub objectives: Vec<Judged>,
    /// What people know about bad times, the oldest first.
    pub incidents: Vec<IncidentLine>,
    /// Minutes in which no instance served.
    pub silent_minutes: u64,
    /// What the account may send this month; where it has such a quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly_quota: Option<MonthLine>,
    /// By operation; for operators and accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<OperationLine>,
    /// The accounts with most failures; for operators.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountLine>,
}

/// One promise and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// Stable name.
    pub name: String,
    /// In words.
    pub title: String,
    /// `availability`, `latency` or `visibility`.
    pub measure: &'static str,
    /// Least share of good ones.
    pub target_percent: f64,
    /// What a good answer takes at most.
    pub milliseconds: Option<u32>,
    /// First second it is judged over: the period, or the objective's own days where they are more.
    pub from: String,
    /// How many days that is.
    pub days: i64,
    /// `kept`, `at_risk`, `broken` or `no_data`.
    pub status: Status,
    /// Share of good ones; `None` when nothing was asked.
    pub actual_percent: Option<f64>,
    /// All that count, those lost to silence included.
    pub total: u64,
    /// Of these, the bad ones.
    pub bad: u64,
    /// Of the bad ones, how many would have come while no instance served, at the mean of the rest.
    pub lost: u64,
    /// The callers' own mistakes; not among the above.
    pub client: u64,
    /// Times of good answers.
    pub latency_ms: Option<Latency>,
    /// What may go wrong, and what is left of it.
    pub budget: BudgetLine,
    /// Each day of the report's period.
    pub daily: Vec<Day>,
    /// The periods before and this one, the oldest first.
    pub trend: Vec<Trend>,
    /// Days in a row on which the promise was not kept.
    pub breaches: Vec<Breach>,
}

/// What became of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Kept, with room.
    Kept,
    /// Kept, but not for long at this pace, or with little left.
    AtRisk,
    /// Not kept.
    Broken,
    /// Nothing was asked.
    NoData,
}

/// Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// Half stay within.
    pub p50: f64,
    /// Nineteen of twenty.
    pub p95: f64,
    /// Ninety-nine of a hundred.
    pub p99: f64,
}

/// An error budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BudgetLine {
    /// How many may be bad.
    pub allowed: f64,
    /// Share of that already used, above 100 when overspent.
    pub used_percent: f64,
    /// What is left.
    pub left_percent: f64,
    /// How many times faster than evenly it went.
    pub burn_rate: f64,
    /// `calm`, `watch`, `act` or `stop`, by the pace of the last day.
    pub band: &'static str,
    /// What to do about it.
    pub action: &'static str,
    /// When nothing is left at the pace of the last day, where that is soon.
    pub ends_at: Option<String>,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Day {
    /// `2026-11-22`.
    pub day: String,
    /// Share of good ones; `None` when nothing was asked.
    pub actual_percent: Option<f64>,
    /// All that count.
    pub total: u64,
    /// Bad ones.
    pub bad: u64,
}

/// One period among its like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trend {
    /// What people call it.
    pub title: String,
    /// Share of good ones; `None` when nothing was asked.
    pub actual_percent: Option<f64>,
}

/// Days in a row on which a promise was not kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Breach {
    /// First day.
    pub from: String,
    /// Last day.
    pub to: String,
    /// Share of good ones in these days.
    pub actual_percent: f64,
    /// Bad ones.
    pub bad: u64,
    /// Why, in the words of the incidents of these days.
    pub root_causes: Vec<String>,
}

/// One incident as a report tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentLine {
    /// Its id.
    pub incident_id: String,
    /// What happened.
    pub title: String,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// How long it took, in minutes.
    pub minutes: Option<u64>,
    /// What callers saw.
    pub impact: String,
    /// Why.
    pub root_cause: Option<String>,
    /// What was done.
    pub mended_by: Option<String>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationLine {
    /// Operation id.
    pub operation: String,
    /// Good answers.
    pub good: u64,
    /// Bad answers.
    pub bad: u64,
    /// The callers' own mistakes.
    pub client: u64,
    /// Times of good answers.
    pub latency_ms: Option<Latency>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccountLine {
    /// The account.
    pub account_id: String,
    /// Good and bad answers.
    pub total: u64,
    /// Bad answers.
    pub bad: u64,
    /// Its own mistakes.
    pub client: u64,
    /// Share of good ones; `None` when it made mistakes only.
    pub actual_percent: Option<f64>,
}
