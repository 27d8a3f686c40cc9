//! F9, F20, F27: records and requests that nobody should send. Invariant: each ends where it belongs and costs its neighbours
//! nothing.

use std::time::Duration;

use anyhow::Context;

use super::topic::{self, EVENTS};
use super::trial::{Outcome, Settings, Trial};
use super::weather::Span;
use crate::generate::Client;
use crate::say;

/// Between two showers.
const PAUSE: Duration = Duration::from_secs(2);
const SHOWERS: usize = 5;

/// F20, F27: bytes that are no event, and events of a version to come, straight into every partition.
pub(super) fn records(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let trial = Trial::start(title, settings)?;
    trial.wait(PAUSE);
    let broker = trial.stack.engines.kafka.broker(0).address();
    let (from, mut sent) = (trial.now(), 0);
    for _ in 0..SHOWERS {
        sent += topic::append_to_all(&broker, EVENTS, &poison())?;
        trial.wait(PAUSE);
    }
    say(format_args!("   {sent} records that are no events stand in the log"));
    let during = Span { from, to: trial.now() };
    trial.wait(Duration::from_secs(5));
    trial.finish(|trial, weather| {
        let (taken, asked) = weather.share(during, 202);
        trial.check(asked > 0 && taken == asked, "every request is taken", format!("{taken} of {asked}"));
        let letters = trial.stack.sql("SELECT count(*) FROM dead_letters").map(|count| count.trim().to_owned());
        let held = letters.as_deref().ok() == Some(sent.to_string().as_str());
        trial.check(held, format!("each of the {sent} is set aside, and nothing else"), format!("{letters:?}"));
    })
}

/// Values with the header `v` they carry.
fn poison() -> Vec<(Option<&'static str>, &'static [u8])> {
    vec![
        (None, b"hello"),
        (Some("1"), b"\xff\xfe\x00garbage"),
        (Some("1"), b""),
        (Some("1"), b"{\"event_id\":\"x\"}"),
        (Some("1"), b"{\"event_id\":\"\\u0000\",\"account_id\":\"a\"}"),
        // What a later version might write.
        (Some("2"), b"{\"id\":\"x\",\"account\":\"a\",\"name\":\"click\"}"),
        (Some("1"), b"[[[[[[[[[[[[[[[["),
    ]
}

/// F9: an event over the limit, and a body over it, beside the load.
pub(super) fn too_large(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    const TRIES: usize = 20;
    let trial = Trial::start(title, settings)?;
    trial.wait(PAUSE);
    let token = trial.stack.signer()?.token("large")?;
    let request = |bytes: usize| {
        let body = format!(r#"{{"event_name":"large","user_id":"u","metadata":{{"text":"{}"}}}}"#, "x".repeat(bytes));
        format!(
            "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut statuses = Vec::new();
    for bytes in [66_000, 3 << 20].into_iter().cycle().take(TRIES) {
        let mut client = Client::new(trial.stack.address());
        let answer = runtime.block_on(client.call(request(bytes).as_bytes(), Duration::from_secs(17)));
        statuses.push(answer.map(|answer| answer.status));
        trial.wait(Duration::from_millis(200));
    }
    let broker = trial.stack.engines.kafka.broker(0).address();
    trial.finish(|trial, _| {
        let refused = statuses.iter().filter(|status| **status == Ok(413)).count();
        trial.check(refused == TRIES, "each is answered 413", format!("{refused} of {TRIES}: {statuses:?}"));
        let records = topic::records(&broker, EVENTS).context("counting the log");
        match (records, trial.stack.stored()) {
            // Nothing else breaks here, so the log holds the load and no more.
            (Ok(records), Ok(stored)) => {
                trial.check(
                    records == stored,
                    "none of them is in the log",
                    format!("{records} records, {stored} events"),
                );
            }
            (records, stored) => trial.check(false, "log and store can be counted", format!("{records:?}, {stored:?}")),
        }
    })
}
