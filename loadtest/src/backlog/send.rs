//! Sending what waits. Invariant: an event that is not accepted ends the run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use serde_json::Value;

use crate::generate::Client;
use crate::stack::Stack;

/// Longest wait for an answer: above the service's own deadline.
const WITHIN: Duration = Duration::from_secs(17);

/// Connections of the account that piles up.
const CONNECTIONS: usize = 4;

/// Users of a batch: more than the keys of the bulk lane.
const USERS: u64 = 64;

/// Sends so many batches; the account's partition of the standard lane, and how many events took the bulk lane.
pub(super) async fn pile_up(stack: &Stack, account: &str, batches: u64, batch: u64) -> anyhow::Result<(i64, u64)> {
    let event = |number| format!(r#"{{"event_name":"flood","user_id":"u{}"}}"#, number % USERS);
    let events: Vec<String> = (0..batch).map(event).collect();
    let request = request(stack, account, "/v1/events/batch", &format!(r#"{{"events":[{}]}}"#, events.join(",")))?;
    let (sent, in_bulk) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut first = Client::new(stack.address());
    let home = partition(&call(&mut first, &request).await?["results"][0])?;
    sent.fetch_add(1, Ordering::Relaxed);
    let connections = (0..CONNECTIONS).map(|_| async {
        let mut client = Client::new(stack.address());
        while sent.fetch_add(1, Ordering::Relaxed) < batches {
            let answer = call(&mut client, &request).await?;
            let results = answer["results"].as_array().map_or(&[][..], Vec::as_slice);
            let bulk =
                results.iter().filter(|line| line["receipt"].as_str().is_some_and(|text| text.contains(".bulk/")));
            in_bulk.fetch_add(bulk.count() as u64, Ordering::Relaxed);
        }
        anyhow::Ok(())
    });
    try_join_all(connections).await?;
    Ok((home, in_bulk.into_inner()))
}

/// Sends one event; its partition.
pub(super) async fn one(stack: &Stack, account: &str) -> anyhow::Result<i64> {
    let request = request(stack, account, "/v1/events", r#"{"event_name":"view","user_id":"u"}"#)?;
    partition(&call(&mut Client::new(stack.address()), &request).await?)
}

fn partition(accepted: &Value) -> anyhow::Result<i64> {
    accepted["partition"].as_i64().with_context(|| format!("no partition in {accepted}"))
}

async fn call(client: &mut Client, request: &[u8]) -> anyhow::Result<Value> {
    match client.call(request, WITHIN).await {
        Ok(answer) if answer.status == 202 => serde_json::from_slice(answer.body).context("reading an answer"),
        Ok(answer) => bail!("{}: {}", answer.status, String::from_utf8_lossy(answer.body)),
        Err(lost) => bail!("no answer: {lost:?}"),
    }
}

fn request(stack: &Stack, account: &str, path: &str, body: &str) -> anyhow::Result<Vec<u8>> {
    let token = stack.signer()?.token(account)?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    Ok([head.as_bytes(), body.as_bytes()].concat())
}
