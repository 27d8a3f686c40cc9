//! How long an event takes from the door to the eyes of who watches live. Invariant: measured by one clock, from the time the frame
//! itself says it was received.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout_at};
use weir::domain::time::Timestamp;

use crate::generate::{Client, Latency, Percentiles};
use crate::stack::Stack;

/// Longest wait for an answer: above the service's own deadline.
const WITHIN: Duration = Duration::from_secs(17);

/// What a frame is asked for.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    received_at: Option<&'a str>,
}

/// Account that sends and watches.
const WATCHED: &str = "watched";

/// Between two of its events.
const PAUSE: Duration = Duration::from_millis(20);

/// Sends and watches one account for so long; the time from the door to here of each of its events.
///
/// # Errors
/// When an event is refused, or the stream is or ends.
pub fn frames(stack: &Stack, run_for: Duration) -> anyhow::Result<Percentiles> {
    let token = stack.signer()?.token(WATCHED)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let until = std::time::Instant::now() + run_for;
    let (seen, sent) =
        runtime.block_on(async { tokio::join!(watch(stack, &token, until), send(stack, &token, until)) });
    sent?;
    seen
}

async fn watch(stack: &Stack, token: &str, until: std::time::Instant) -> anyhow::Result<Percentiles> {
    // In HTTP/1.0 the answer comes as it is, without chunks to put together.
    let head = format!("GET /v1/stream HTTP/1.0\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\r\n", stack.address());
    let mut stream = TcpStream::connect(stack.address()).await?;
    stream.write_all(head.as_bytes()).await?;
    let (mut held, mut latency) = (Vec::new(), Latency::default());
    while let Ok(read) = timeout_at(until.into(), stream.read_buf(&mut held)).await {
        ensure!(read? > 0, "the stream ended: {}", String::from_utf8_lossy(&held));
        let now = Timestamp::now();
        let whole = held.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in held.drain(..whole).collect::<Vec<u8>>().split(|byte| *byte == b'\n') {
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            let frame: Frame<'_> = serde_json::from_slice(data).context("a frame")?;
            if let ("event", Some(received_at)) = (frame.kind, frame.received_at) {
                let took = now.micros_since(Timestamp::parse_rfc3339(received_at)?).max(0);
                latency.record(took.unsigned_abs());
            }
        }
    }
    let latency = latency.percentiles();
    // A refusal has no frames either.
    ensure!(latency.count > 0, "no event was shown");
    Ok(latency)
}

async fn send(stack: &Stack, token: &str, until: std::time::Instant) -> anyhow::Result<()> {
    let event = r#"{"event_name":"seen","user_id":"u"}"#;
    let request = format!(
        "POST /v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{event}",
        stack.address(),
        event.len()
    );
    let mut client = Client::new(stack.address());
    while std::time::Instant::now() < until {
        let answer = client.call(request.as_bytes(), WITHIN).await.map_err(|lost| anyhow!("{lost:?}"))?;
        ensure!(answer.status == 202, "{} came back", answer.status);
        sleep(PAUSE).await;
    }
    Ok(())
}
