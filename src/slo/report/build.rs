//! From sums and incidents to a report. Invariant: each promise is judged over the report's period, or over its own days up to the
//! period's end where they are more.

use std::collections::BTreeMap;

use super::judge::{Counted, Sums, budget_line, latency, rounded};
use super::month::{MonthLine, MonthUse, Recent};
use super::words::{summary, time};
use super::{AccountLine, Audience, Breach, Day, IncidentLine, Judged, OperationLine, Report, Status, Trend};
use crate::domain::id::AccountId;
use crate::domain::incident::Incident;
use crate::domain::sli::Sample;
use crate::domain::time::Timestamp;
use crate::slo::objectives::{Measure, Objective, Objectives};
use crate::slo::period::{Period, day};
use crate::store::AccountSums;

const DAY: i64 = 86_400;

/// Periods a trend looks back.
const BEFORE: usize = 3;

/// Below this share of the budget a promise is at risk, in percent.
const LITTLE_LEFT: f64 = 25.0;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    /// For whom.
    pub audience: Audience,
    /// Whose numbers; `None` for the whole service.
    pub account: Option<AccountId>,
    /// About when.
    pub period: Period,
    /// What the account has used of its monthly quota, where it has one.
    pub month: Option<MonthUse>,
    /// When it is asked.
    pub now: Timestamp,
}

/// What is known.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Levels of service from [`Ask::needs_from`] on.
    pub sums: Sums,
    /// Incidents that touch the period.
    pub incidents: Vec<Incident>,
    /// The accounts with most failures.
    pub accounts: Vec<AccountSums>,
    /// What the account sent lately, where a month's use is asked about.
    pub recent: Recent,
}

impl Ask {
    /// From when on, in Unix seconds, levels of service are needed.
    pub fn needs_from(&self, objectives: &Objectives) -> i64 {
        let longest = objectives.objectives.iter().map(Objective::period_seconds).max().unwrap_or_default();
        let trend = self.period.before(BEFORE).first().map_or(self.period.from, |first| first.from);
        trend.min(self.period.to - longest)
    }

    /// The report.
    pub fn report(&self, objectives: &Objectives, facts: &Facts) -> Report {
        let Period { from, to, .. } = self.period;
        let concerned = |incident: &&Incident| {
            incident.touches(from, to)
                && self.account.as_ref().is_none_or(|account| incident.concerns(account.as_str()))
        };
        let incidents: Vec<_> = facts.incidents.iter().filter(concerned).cloned().collect();
        let judged: Vec<_> = objectives.objectives.iter().map(|one| self.judge(one, &facts.sums, &incidents)).collect();
        let silent_minutes = facts.sums.silent_between(from, to);
        let tells_operations = self.audience != Audience::Executive;
        let tells_accounts = self.audience == Audience::Operator;
        Report {
            audience: self.audience,
            account_id: self.account.as_ref().map(|account| account.as_str().to_owned()),
            period: self.period.cadence.name(),
            title: self.period.words(),
            from: time(from),
            to: time(to),
            running: self.period.running,
            generated_at: time(self.now.unix_seconds()),
            summary: summary(&judged, silent_minutes),
            objectives: judged,
            incidents: incidents.iter().map(incident_line).collect(),
            silent_minutes,
            monthly_quota: self.month.map(|month| MonthLine::of(month, facts.recent, self.now)),
            operations: if tells_operations { operations(&facts.sums, from, to) } else { Vec::new() },
            accounts: if tells_accounts { facts.accounts.iter().map(account_line).collect() } else { Vec::new() },
        }
    }

    fn judge(&self, objective: &Objective, sums: &Sums, incidents: &[Incident]) -> Judged {
        let Period { from, to, .. } = self.period;
        let since = from.min(to - objective.period_seconds());
        let window = sums.count(objective, since, to);
        let recent = sums.count(objective, to - DAY, to);
        let days = (to - since + DAY - 1) / DAY;
        let budget = budget_line(objective, window.tally, recent.tally, (days, to));
        let daily = self.daily(objective, sums);
        Judged {
            name: objective.name.clone(),
            title: objective.title.clone(),
            measure: match objective.measure {
                Measure::Availability => "availability",
                Measure::Latency => "latency",
                Measure::Visibility => "visibility",
            },
            target_percent: objective.target_percent,
            milliseconds: objective.milliseconds,
            from: time(since),
            days,
            status: status(objective, window, budget.left_percent, budget.band),
            actual_percent: share(window),
            total: window.tally.total(),
            bad: window.tally.bad,
            lost: window.lost,
            client: window.sample.client,
            latency_ms: latency(&window.sample),
            budget,
            breaches: breaches(objective, &daily, incidents),
            daily: daily.into_iter().map(|(_, day)| day).collect(),
            trend: self.trend(objective, sums),
        }
    }

    fn daily(&self, objective: &Objective, sums: &Sums) -> Vec<(i64, Day)> {
        let days = (self.period.from..self.period.to).step_by(DAY as usize);
        days.map(|from| {
            let counted = sums.count(objective, from, (from + DAY).min(self.period.to));
            let day = Day {
                day: day(from).to_string(),
                actual_percent: share(counted),
                total: counted.tally.total(),
                bad: counted.tally.bad,
            };
            (from, day)
        })
        .collect()
    }

    fn trend(&self, objective: &Objective, sums: &Sums) -> Vec<Trend> {
        let periods = self.period.before(BEFORE).into_iter().chain([self.period]);
        periods
            .map(|period| Trend {
                title: period.words(),
                actual_percent: share(sums.count(objective, period.from, period.to)),
            })
            .collect()
    }
}

fn share(counted: Counted) -> Option<f64> {
    counted.tally.good_percent().map(rounded)
}

fn status(objective: &Objective, counted: Counted, left_percent: f64, band: &str) -> Status {
    match counted.tally.total() {
        0 => Status::NoData,
        _ if counted.tally.bad_share() > objective.allowed() + 1e-12 => Status::Broken,
        _ if left_percent < LITTLE_LEFT || ["act", "stop"].contains(&band) => Status::AtRisk,
        _ => Status::Kept,
    }
}

/// Days in a row that fell short, each run with the causes that its incidents name.
fn breaches(objective: &Objective, daily: &[(i64, Day)], incidents: &[Incident]) -> Vec<Breach> {
    let short = |day: &Day| day.total > 0 && day.bad as f64 / day.total as f64 > objective.allowed() + 1e-12;
    daily
        .chunk_by(|(_, a), (_, b)| short(a) == short(b))
        .filter(|run| run.first().is_some_and(|(_, day)| short(day)))
        .filter_map(|run| {
            let ((first, _), (last, _)) = (run.first()?, run.last()?);
            let (total, bad) = run.iter().fold((0, 0), |(total, bad), (_, day)| (total + day.total, bad + day.bad));
            let touching = incidents.iter().filter(|incident| incident.touches(*first, last + DAY));
            let cause = |incident: &Incident| {
                let cause = incident.root_cause.as_deref().unwrap_or("the cause is being looked for");
                format!("{}: {cause}", incident.title)
            };
            Some(Breach {
                from: day(*first).to_string(),
                to: day(*last).to_string(),
                actual_percent: rounded(100.0 * (total - bad) as f64 / total as f64),
                bad,
                root_causes: touching.map(cause).collect(),
            })
        })
        .collect()
}

fn incident_line(incident: &Incident) -> IncidentLine {
    let (start, end) = (incident.started_at.unix_seconds(), incident.ended_at.map(Timestamp::unix_seconds));
    IncidentLine {
        incident_id: incident.incident_id.clone(),
        title: incident.title.clone(),
        started_at: time(start),
        ended_at: end.map(time),
        minutes: end.map(|end| u64::try_from((end - start + 59) / 60).unwrap_or_default()),
        impact: incident.impact.clone(),
        root_cause: incident.root_cause.clone(),
        mended_by: incident.mended_by.clone(),
    }
}

fn operations(sums: &Sums, from: i64, to: i64) -> Vec<OperationLine> {
    let mut by_name: BTreeMap<&str, Sample> = BTreeMap::new();
    for stretch in sums.stretches.iter().filter(|stretch| (from..to).contains(&stretch.at)) {
        by_name.entry(&stretch.operation).or_default().merge(&stretch.sample);
    }
    let line = |(operation, sample): (&str, Sample)| OperationLine {
        operation: operation.to_owned(),
        good: sample.good,
        bad: sample.bad,
        client: sample.client,
        latency_ms: latency(&sample),
    };
    by_name.into_iter().map(line).collect()
}

fn account_line(sums: &AccountSums) -> AccountLine {
    let total = sums.good + sums.bad;
    AccountLine {
        account_id: sums.account_id.clone(),
        total,
        bad: sums.bad,
        client: sums.client,
        actual_percent: (total > 0).then(|| rounded(100.0 * sums.good as f64 / total as f64)),
    }
}
