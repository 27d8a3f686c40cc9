//! HTTP by curl. Invariant: a token goes in by stdin, never as an argument, where `ps` would show it.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;
use weir_local::command;

/// An answer of the service.
#[derive(Debug)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body as it came.
    pub(super) body: String,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// Status and body for a person.
    pub(super) fn pretty(&self) -> String {
        let body = match serde_json::from_str::<Value>(&self.body) {
            Ok(json) => format!("{json:#}"),
            Err(_) => self.body.clone(),
        };
        format!("{} {body}", self.status)
    }
}

/// GET, with a token if one is given.
pub(super) fn get(url: &str, token: Option<&str>) -> Result<Answer> {
    request(url, token, None)
}

/// POST of JSON.
pub(super) fn post(url: &str, token: &str, json: &str) -> Result<Answer> {
    request(url, Some(token), Some(json))
}

fn request(url: &str, token: Option<&str>, json: Option<&str>) -> Result<Answer> {
    let mut curl = Command::new("curl");
    // The user's own settings and proxies are not meant for a server on this machine.
    curl.args(["--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]);
    curl.args(["--write-out", "\n%{http_code}", "--config", "-"]);
    let printed = command::run(&mut curl, &config(url, token, json), Duration::from_secs(30))?;
    let (body, status) = printed.rsplit_once('\n').context("curl printed no status")?;
    Ok(Answer { status: status.parse().context("curl printed no status")?, body: body.to_owned() })
}

fn config(url: &str, token: Option<&str>, json: Option<&str>) -> String {
    let mut lines = format!("url = \"{}\"\n", escaped(url));
    if let Some(token) = token {
        lines.push_str(&format!("header = \"Authorization: Bearer {}\"\n", escaped(token)));
    }
    if let Some(json) = json {
        lines.push_str("header = \"Content-Type: application/json\"\n");
        lines.push_str(&format!("data = \"{}\"\n", escaped(json)));
    }
    lines
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_cannot_leave_its_quotes() {
        let text = config("http://x/", None, Some("{\"a\":\"b\\\"\nurl = \"evil\"}"));
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains(r#"data = "{\"a\":\"b\\\"\nurl"#), "{text}");
    }
}
