//! Prometheus rules from the objectives. Invariant: pure; `deploy/prometheus/rules/slo.yaml` is what this writes for the embedded
//! objectives, and a test keeps it so.
//!
//! Long windows are averages of recorded five-minute rates, of requests and of bad ones apart: weighted by traffic, and cheap
//! over 30 days.

use std::fmt::Write as _;

use super::objectives::{Measure, Objective, Objectives};

/// Operations that probes and scrapes call.
const NOT_TENANTS: &str = "getPrometheusMetrics|getManagement.*|getLiveness|getHealth|getReadiness|unmatched";

const HEADER: &str = "\
# Written by `weir slo-rules` from src/slo/objectives.yaml; a test compares. Change the objectives, not this file.
#
# slo:requests:rate5m and slo:bad:rate5m are what was served and what of it broke the promise. A burn rate of 1 spends the
# budget exactly within its period.
";

/// Windows of burn rates beside five minutes.
const WINDOWS: [&str; 4] = ["30m", "1h", "6h", "3d"];

/// The alerts: severity, factor, long and short window, what it means.
const ALERTS: [(&str, &str, &str, &str, &str, &str); 3] = [
    ("SloBurnsVeryFast", "page", "14.4", "1h", "5m", "a thirty-day budget would be gone in two days"),
    ("SloBurnsFast", "page", "6", "6h", "30m", "a thirty-day budget would be gone in five days"),
    ("SloBurnsSteadily", "ticket", "1", "3d", "6h", "the budget will not last its period"),
];

/// The rule file of the objectives: one group, because the rules of a group are evaluated in order, each on the one before.
pub fn document(objectives: &Objectives) -> String {
    let mut text = String::from(HEADER);
    text.push_str("groups:\n  - name: slo\n    rules:\n");
    for objective in &objectives.objectives {
        samples(&mut text, objective);
    }
    burn_rates(&mut text);
    alerts(&mut text);
    text
}

fn rule(text: &mut String, record: &str, expr: &str, slo: Option<&str>) {
    // Writing to a String cannot fail.
    write!(text, "      - record: {record}\n        expr: {expr}\n").unwrap_or_default();
    if let Some(slo) = slo {
        writeln!(text, "        labels: {{slo: {slo}}}").unwrap_or_default();
    }
}

fn samples(text: &mut String, objective: &Objective) {
    let routes = match objective.operations.as_slice() {
        [] => format!("route!~\"{NOT_TENANTS}\""),
        operations => format!("route=~\"{}\"", operations.join("|")),
    };
    let counted = |name: &str, labels: &str| format!("sum(rate({name}{{{labels}}}[5m]))");
    let bound = f64::from(objective.milliseconds.unwrap_or_default()) / 1e3;
    let (requests, bad) = match objective.measure {
        Measure::Availability => {
            let count = "http_request_duration_seconds_count";
            (counted(count, &format!("{routes},status!~\"4..\"")), counted(count, &format!("{routes},status=~\"5..\"")))
        }
        Measure::Latency => {
            let good = format!("{routes},status=~\"2..\"");
            let all = counted("http_request_duration_seconds_count", &good);
            let quick = counted("http_request_duration_seconds_bucket", &format!("{good},le=\"{bound}\""));
            (all.clone(), format!("{all} - {quick}"))
        }
        Measure::Visibility => {
            let all = "sum(rate(weir_event_visible_seconds_count[5m]))".to_owned();
            let quick = counted("weir_event_visible_seconds_bucket", &format!("le=\"{bound}\""));
            (all.clone(), format!("{all} - {quick}"))
        }
    };
    let slo = Some(objective.name.as_str());
    rule(text, "slo:requests:rate5m", &format!("{requests} or vector(0)"), slo);
    rule(text, "slo:bad:rate5m", &format!("{bad} or vector(0)"), slo);
    rule(text, "slo:allowed:ratio", &format!("vector({:.6})", objective.allowed()), slo);
    rule(text, "slo:period:seconds", &format!("vector({})", objective.period_seconds()), slo);
    let period = format!("{}d", objective.days);
    rule(text, "slo:burn:period", &spent(&period, &format!("{{slo=\"{}\"}}", objective.name)), slo);
}

/// Burn rate over a window: share of bad ones by the share that may be. No traffic gives no number, and no alert.
fn spent(window: &str, labels: &str) -> String {
    let average = |name: &str| format!("avg_over_time({name}{labels}[{window}])");
    let allowed = format!("slo:allowed:ratio{labels}");
    format!("{} / ({} > 0) / {allowed}", average("slo:bad:rate5m"), average("slo:requests:rate5m"))
}

fn burn_rates(text: &mut String) {
    rule(text, "slo:burn:rate5m", "slo:bad:rate5m / (slo:requests:rate5m > 0) / slo:allowed:ratio", None);
    for window in WINDOWS {
        rule(text, &format!("slo:burn:rate{window}"), &spent(window, ""), None);
    }
    rule(text, "slo:budget_left:ratio", "1 - slo:burn:period", None);
    let left = "(slo:budget_left:ratio > 0) * slo:period:seconds / (slo:burn:rate1h > 0)";
    rule(text, "slo:exhausted_in:seconds", left, None);
}

fn alerts(text: &mut String) {
    for (name, severity, factor, long, short, meaning) in ALERTS {
        let expr = format!("slo:burn:rate{long} > {factor} and slo:burn:rate{short} > {factor}");
        let what = "{{ $labels.slo }} burns its error budget {{ printf \"%.1f\" $value }} times too fast";
        alert(text, name, &expr, severity, &format!("{what}: {meaning}"));
    }
    let summary = "{{ $labels.slo }} has burnt its error budget {{ $value | humanize }} times too fast for an hour";
    alert(text, "SloBurnsTwiceForAnHour", "slo:burn:rate1h > 2", "ticket", summary);
    let summary = "{{ $labels.slo }} has spent its error budget: the promise of this period is broken";
    alert(text, "SloBroken", "slo:budget_left:ratio <= 0", "ticket", summary);
}

fn alert(text: &mut String, name: &str, expr: &str, severity: &str, summary: &str) {
    let asked = |metric: &str, form: &str| {
        format!(
            "{{{{ with printf \"{metric}{{slo=%q}}\" $labels.slo | query }}}}{{{{ . | first | value | {form} }}}}{{{{ else }}}}unknown{{{{ end }}}}"
        )
    };
    let left = asked("slo:budget_left:ratio", "humanizePercentage");
    let ends = asked("slo:exhausted_in:seconds", "humanizeDuration");
    write!(
        text,
        "      - alert: {name}\n        expr: {expr}\n        labels: {{severity: {severity}}}\n        annotations:\n          \
         summary: '{summary}'\n          description: 'Budget left: {left}. At the pace of the last hour it ends in: {ends}. \
         Open the dashboard weir-slo, find the operation and status that fail, and follow the runbook.'\n          \
         runbook_url: docs/runbook.md#{}\n",
        name.to_ascii_lowercase()
    )
    .unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_rules_are_those_of_the_objectives() {
        let committed =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/rules/slo.yaml"))
                .unwrap_or_default();
        let written = document(&Objectives::load(None).expect("sound"));
        assert!(committed == written, "run `cargo run -p weir -- slo-rules > deploy/prometheus/rules/slo.yaml`");
    }
}
