//! One event by hand. Invariant: what is shown is what the service answered.

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use weir_local::poll;

use super::{client, client::Answer, environment, out};

/// Whose event it is.
pub(super) const ACCOUNT: &str = "demo";
/// The event, without quotes a shell would mind.
pub(super) const EVENT: &str = r#"{"event_name":"signup","user_id":"u1","channel":"web"}"#;
const EVENT_NAME: &str = "signup";
const COUNTED: Duration = Duration::from_secs(30);

/// Sends the event and waits until the account's summary counts it; says so in one line.
pub(super) fn send_and_wait(url: &str, token: &str) -> Result<String> {
    let sent = Instant::now();
    let answer = client::post(&format!("{url}/v1/events"), token, EVENT)?;
    if answer.status != 202 {
        bail!("the event was not accepted: {}", answer.pretty());
    }
    // Until this very event is stored a summary would only count earlier ones.
    let event = format!("{url}/v1/events/{}", answer.json()["event_id"].as_str().unwrap_or_default());
    let stored = poll(COUNTED, || client::get(&event, Some(token)).ok().filter(|answer| answer.status == 200));
    if stored.is_none() {
        bail!("the event was accepted but {event} does not show it");
    }
    let summary = format!("{url}/v1/accounts/{ACCOUNT}/summary");
    let mut last = None;
    let total = poll(COUNTED, || {
        let answer = client::get(&summary, Some(token)).ok()?;
        let total = answer.json()["total_events"].as_u64().filter(|total| answer.status == 200 && *total > 0);
        last = Some(answer);
        total
    });
    match (total, last) {
        (Some(total), _) => {
            let events = if total == 1 { "event" } else { "events" };
            Ok(format!(
                "accepted, counted {:.1} s later: account {ACCOUNT} has {total} {events}",
                sent.elapsed().as_secs_f32()
            ))
        }
        (None, Some(answer)) => bail!("the event was accepted but is not in the summary: {}", answer.pretty()),
        (None, None) => bail!("the event was accepted but {summary} does not answer"),
    }
}

/// `test-event`.
pub(super) fn test_event(dir: &Path) -> Result<()> {
    let (url, token) = (environment::read(dir, "WEIR_URL")?, environment::read(dir, "WEIR_TOKEN")?);
    show(&client::post(&format!("{url}/v1/events"), &token, EVENT)?)
}

/// `test-metrics`: the demo's signups of the last hour, by channel.
pub(super) fn test_metrics(dir: &Path) -> Result<()> {
    let (url, token) = (environment::read(dir, "WEIR_URL")?, environment::read(dir, "WEIR_TOKEN")?);
    let now = unix_seconds();
    let range = format!("from={}&to={now}", now.saturating_sub(3_600));
    let query = format!("event_name={EVENT_NAME}&group_by=channel&{range}");
    show(&client::get(&format!("{url}/v1/metrics?{query}"), Some(&token))?)
}

/// `health` and `ready`.
pub(super) fn probe(dir: &Path, path: &str) -> Result<()> {
    show(&client::get(&format!("{}{path}", environment::read(dir, "WEIR_URL")?), None)?)
}

fn show(answer: &Answer) -> Result<()> {
    if answer.status >= 400 {
        bail!("{}", answer.pretty());
    }
    out::line(&answer.pretty());
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the one clock of this tool; the service's own is out of its reach")]
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
