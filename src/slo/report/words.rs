//! Numbers and times as sentences. Invariant: a reader needs no legend: every number stands with what it counts. Numbers are
//! taken by value or by reference, as templates hand them.

use std::borrow::Borrow;

use chrono::{DateTime, Utc};

use super::{Judged, Status};

/// RFC 3339.
pub fn time(second: i64) -> String {
    moment(second).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// `Thursday 26 November 2026, 14:00 UTC`.
pub fn spoken(text: &str) -> String {
    DateTime::parse_from_rfc3339(text)
        .map_or_else(|_| text.to_owned(), |at| at.with_timezone(&Utc).format("%A %-d %B %Y, %H:%M UTC").to_string())
}

fn moment(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap_or_default()
}

/// A share as people write it, with the digits that tell it from its target: `99.9 %`, `99.987 %`, `100 %`.
pub fn percent(share: impl Borrow<f64>) -> String {
    let share = *share.borrow();
    let digits = if share > 99.0 && share < 100.0 { 3 } else { 1 };
    // Rounding must not make a broken promise look whole.
    let scale = 10_f64.powi(digits);
    let cut = if share < 100.0 { (share * scale + 1e-6).floor() / scale } else { share };
    let text = format!("{cut:.*}", usize::try_from(digits).unwrap_or_default());
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `1,204,511`.
pub fn count(number: impl Borrow<u64>) -> String {
    let digits = number.borrow().to_string();
    let head = digits.len() % 3;
    let (first, rest) = digits.split_at(head);
    let groups = rest.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    (!first.is_empty()).then(|| first.to_owned()).into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

/// `2 h 5 min`.
pub fn minutes(number: impl Borrow<u64>) -> String {
    let number = *number.borrow();
    match (number / 60, number % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// `40 ms`, `1.2 s`.
pub fn duration(milliseconds: impl Borrow<f64>) -> String {
    let milliseconds = *milliseconds.borrow();
    if milliseconds < 1_000.0 {
        format!("{milliseconds:.0} ms")
    } else {
        let text = format!("{:.1}", milliseconds / 1e3);
        format!("{} s", text.trim_end_matches(".0"))
    }
}

/// The whole report in a few sentences.
pub fn summary(objectives: &[Judged], silent_minutes: u64) -> String {
    let titles = |status: Status| {
        let titled = objectives.iter().filter(|one| one.status == status).map(|one| format!("“{}”", one.title));
        titled.collect::<Vec<_>>()
    };
    let (broken, at_risk) = (titles(Status::Broken), titles(Status::AtRisk));
    let kept = titles(Status::Kept).len() + at_risk.len();
    let judged = kept + broken.len();
    let mut text = match (judged, broken.len()) {
        (0, _) => "Nothing was asked of the service in this time.".to_owned(),
        (_, 0) => format!("{}.", if judged == 1 { "The promise was kept" } else { "Every promise was kept" }),
        _ => format!("{kept} of {judged} promises were kept. Not kept: {}.", broken.join(", ")),
    };
    if !at_risk.is_empty() {
        text.push_str(&format!(" At risk: {}.", at_risk.join(", ")));
    }
    if silent_minutes > 0 {
        text.push_str(&format!(" The whole service was silent for {}.", minutes(silent_minutes)));
    }
    let soonest =
        objectives.iter().filter_map(|one| one.budget.ends_at.as_ref().map(|at| (at, one))).min_by_key(|(at, _)| *at);
    if let Some((at, one)) = soonest {
        let when = spoken(at);
        text.push_str(&format!(" At the pace of the last day the budget of “{}” is gone on {when}.", one.title));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            [99.9, 99.8999, 99.98764, 100.0, 95.0, 12.34].map(percent),
            ["99.9 %", "99.899 %", "99.987 %", "100 %", "95 %", "12.3 %"]
        );
        assert_eq!([0, 7, 999, 1_000, 1_204_511].map(count), ["0", "7", "999", "1,000", "1,204,511"]);
        assert_eq!([5, 60, 125].map(minutes), ["5 min", "1 h", "2 h 5 min"]);
        assert_eq!([40.0, 1_000.0, 1_234.0].map(duration), ["40 ms", "1 s", "1.2 s"]);
        assert_eq!(spoken("2026-11-26T14:00:00Z"), "Thursday 26 November 2026, 14:00 UTC");
    }
}
