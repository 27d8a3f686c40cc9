//! A report as a table for spreadsheets (RFC 4180). Invariant: one line a promise, and no cell that a spreadsheet would run.

use super::{Report, Status};

const HEADER: &str = "period,from,to,account_id,objective,title,target_percent,actual_percent,status,total,bad,lost,client,\
budget_used_percent,budget_left_percent,burn_rate,p50_ms,p95_ms,p99_ms";

/// The table.
pub fn csv(report: &Report) -> String {
    let mut text = format!("{HEADER}\r\n");
    for one in &report.objectives {
        let latency = |of: fn(&super::Latency) -> f64| one.latency_ms.as_ref().map(of).map_or_else(String::new, plain);
        let cells = [
            report.period.to_owned(),
            report.from.clone(),
            report.to.clone(),
            report.account_id.clone().unwrap_or_default(),
            one.name.clone(),
            one.title.clone(),
            plain(one.target_percent),
            one.actual_percent.map_or_else(String::new, plain),
            status(one.status).to_owned(),
            one.total.to_string(),
            one.bad.to_string(),
            one.lost.to_string(),
            one.client.to_string(),
            plain(one.budget.used_percent),
            plain(one.budget.left_percent),
            plain(one.budget.burn_rate),
            latency(|latency| latency.p50),
            latency(|latency| latency.p95),
            latency(|latency| latency.p99),
        ];
        text.push_str(&cells.map(|cell| quoted(&cell)).join(","));
        text.push_str("\r\n");
    }
    text
}

/// The word of a status.
pub fn status(status: Status) -> &'static str {
    match status {
        Status::Kept => "kept",
        Status::AtRisk => "at_risk",
        Status::Broken => "broken",
        Status::NoData => "no_data",
    }
}

fn plain(number: f64) -> String {
    number.to_string()
}

fn quoted(cell: &str) -> String {
    // What begins like a formula is shown as text, unless it is a number.
    let formula = cell.starts_with(['=', '+', '-', '@', '\t']) && cell.parse::<f64>().is_err();
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_run() {
        assert_eq!(
            ["plain", "a,b", "say \"x\"", "=1+1", "-3.5"].map(quoted),
            ["plain", "\"a,b\"", "\"say \"\"x\"\"\"", "'=1+1", "-3.5"]
        );
    }
}
