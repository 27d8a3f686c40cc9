//! A report as one page that needs nothing beside itself. Invariant: no script, no request to anywhere; whatever a person wrote is
//! escaped; colours are never the only sign of anything.

use askama::Template;

use super::words::{self, count, percent};
use super::{Breach, Judged, Report, Status, csv};

/// Size of a chart, in its own units.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 110.0;

/// Room for the day's name below and the highest number above.
const FOOT: f64 = 22.0;
const HEAD: f64 = 18.0;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    whose: String,
    cards: Vec<Card<'a>>,
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage<'a> {
    report: &'a Report,
    cards: Vec<Card<'a>>,
}

/// One promise as the page shows it.
struct Card<'a> {
    judged: &'a Judged,
    status: &'static str,
    status_words: &'static str,
    actual: String,
    target: String,
    used_width: f64,
    budget_words: String,
    bars: Vec<Bar>,
    line_y: f64,
    line_words: String,
    /// Where the words of the line begin or end: on the side where no bar has a number.
    line_x: f64,
    line_anchor: &'static str,
    breaches: Vec<(String, &'a Breach)>,
}

/// One day of the chart.
struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    middle: f64,
    short: bool,
    label: String,
    value: String,
    tip: String,
}

/// The page of a report.
///
/// # Errors
/// When the template cannot be filled: a mistake of ours.
pub fn html(report: &Report) -> Result<String, askama::Error> {
    let whose = match &report.account_id {
        Some(account) => format!("Account {account}"),
        None => "The whole service".to_owned(),
    };
    Page { report, whose, cards: report.objectives.iter().map(card).collect() }.render()
}

/// What the public may see: the promises of the running week and public incidents.
///
/// # Errors
/// As [`html`].
pub fn status_page(report: &Report) -> Result<String, askama::Error> {
    StatusPage { report, cards: report.objectives.iter().map(card).collect() }.render()
}

fn card(judged: &Judged) -> Card<'_> {
    let (bars, line_y) = chart(judged);
    // A day's number is about a twelfth of the chart to either side of its bar, the words about a third in all.
    let crowded = bars.iter().any(|bar| !bar.value.is_empty() && bar.middle > WIDTH * 0.6);
    let (line_x, line_anchor) = if crowded { (0.0, "start") } else { (WIDTH, "end") };
    let allowed = 100.0 - judged.target_percent;
    let what = if judged.measure == "availability" { "fail" } else { "be late" };
    Card {
        judged,
        status: csv::status(judged.status),
        status_words: match judged.status {
            Status::Kept => "Kept",
            Status::AtRisk => "Kept, at risk",
            Status::Broken => "Not kept",
            Status::NoData => "Nothing asked",
        },
        actual: judged.actual_percent.map_or_else(|| "–".to_owned(), percent),
        target: percent(judged.target_percent),
        used_width: judged.budget.used_percent.clamp(0.0, 100.0),
        budget_words: budget_words(judged),
        bars,
        line_y,
        line_x,
        line_anchor,
        breaches: judged.breaches.iter().map(|breach| (days(breach), breach)).collect(),
        line_words: format!("{} may {what}", percent(allowed)),
    }
}

fn budget_words(judged: &Judged) -> String {
    let (budget, what) = (&judged.budget, if judged.measure == "availability" { "failures" } else { "late ones" });
    let allowed = count(budget.allowed.floor().max(0.0) as u64);
    if judged.total == 0 {
        return "Nothing was asked, nothing was spent.".to_owned();
    }
    let more = judged.bad.saturating_sub(budget.allowed.floor().max(0.0) as u64);
    match budget.left_percent {
        left if left < 0.0 => {
            let bad = count(judged.bad);
            format!("{bad} {what} in {} days, {} more than the {allowed} allowed.", judged.days, count(more))
        }
        left => {
            let used = format!("{} of {allowed} allowed {what} in {} days", count(judged.bad), judged.days);
            format!("{used}: {left:.0} % of the budget is left.")
        }
    }
}

/// `10 October`, `10 to 12 October`.
fn days(breach: &Breach) -> String {
    let day = |text: &str| text.parse::<chrono::NaiveDate>().unwrap_or_default();
    let (first, last) = (day(&breach.from), day(&breach.to));
    let last_words = last.format("%-d %B");
    if first == last { last_words.to_string() } else { format!("{} to {last_words}", first.format("%-d %B")) }
}

/// Bars of the share of bad ones each day, and where the share that may be bad lies.
fn chart(judged: &Judged) -> (Vec<Bar>, f64) {
    let bad = |percent: Option<f64>| percent.map_or(0.0, |good| 100.0 - good);
    let allowed = 100.0 - judged.target_percent;
    let worst = judged.daily.iter().map(|day| bad(day.actual_percent)).fold(0.0, f64::max);
    let top = worst.max(allowed * 2.0).max(1e-6);
    let room = HEIGHT - FOOT - HEAD;
    let y = |share: f64| HEAD + room * (1.0 - share / top);
    let slot = WIDTH / judged.daily.len().max(1) as f64;
    let every = (judged.daily.len() / 10).max(1);
    let bars = judged.daily.iter().enumerate().map(|(index, day)| {
        let share = bad(day.actual_percent);
        let short = day.total > 0 && share > allowed + 1e-9;
        let x = slot * index as f64 + slot * 0.15;
        let height = if share > 0.0 { (room * share / top).max(2.0) } else { 0.0 };
        Bar {
            x,
            y: HEIGHT - FOOT - height,
            width: slot * 0.7,
            height,
            middle: x + slot * 0.35,
            short,
            label: if index % every == 0 { label(&day.day, judged.daily.len()) } else { String::new() },
            value: if short { percent_of_bad(share) } else { String::new() },
            tip: match day.actual_percent {
                Some(good) => {
                    format!("{}: {} good, {} of {} not", day.day, percent(good), count(day.bad), count(day.total))
                }
                None => format!("{}: nothing asked", day.day),
            },
        }
    });
    (bars.collect(), y(allowed))
}

fn percent_of_bad(share: f64) -> String {
    if share < 0.1 {
        format!("{share:.3} %")
    } else if share < 10.0 {
        format!("{share:.2} %")
    } else {
        format!("{share:.0} %")
    }
}

/// `Mon 16` in a week, `16` in a month.
fn label(day: &str, days: usize) -> String {
    let date = day.parse::<chrono::NaiveDate>().unwrap_or_default();
    date.format(if days <= 10 { "%a %-d" } else { "%-d" }).to_string()
}
