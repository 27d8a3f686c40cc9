//! One row of the table: what is sent, what must come back.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::kit::{Kit, SECRET};

/// Rows under one heading.
pub struct Section {
    pub title: &'static str,
    pub about: &'static str,
    pub rows: Vec<Row>,
}

/// Something a peer does on a connection.
pub enum Step {
    Send(Vec<u8>),
    Wait(Duration),
}

/// What must come back.
#[derive(Clone, Copy)]
pub enum Expected {
    /// This status with this `code` in its problem, or `status` in its body.
    Answer(u16, &'static str),
    /// The same, with a fault at this pointer for this rule.
    Fault(u16, &'static str, &'static str, &'static str),
    /// The same, before a second is over.
    AtOnce(u16, &'static str),
    /// The connection is closed.
    Closed,
}

/// One row.
pub struct Row {
    /// What is sent, in words.
    pub sent: &'static str,
    pub steps: fn(&Kit) -> Vec<Step>,
    pub expected: Expected,
}

/// A row that is sent in one go.
pub fn row(sent: &'static str, status: u16, code: &'static str, steps: fn(&Kit) -> Vec<Step>) -> Row {
    Row { sent, steps, expected: Expected::Answer(status, code) }
}

/// A row whose problem names a fault.
pub fn fault(
    sent: &'static str,
    code: &'static str,
    at: (&'static str, &'static str),
    steps: fn(&Kit) -> Vec<Step>,
) -> Row {
    Row { sent, steps, expected: Expected::Fault(400, code, at.0, at.1) }
}

/// Everything at once.
pub fn all(bytes: impl Into<Vec<u8>>) -> Vec<Step> {
    vec![Step::Send(bytes.into())]
}

impl Row {
    /// The same row with another status and code.
    pub fn with_status(mut self, status: u16, code: &'static str) -> Self {
        if let Expected::Fault(_, _, pointer, rule) = self.expected {
            self.expected = Expected::Fault(status, code, pointer, rule);
        }
        self
    }

    /// Sends the row; `Some` says what was wrong with the answer.
    pub async fn hold(self, kit: &Kit) -> Option<String> {
        let begun = Instant::now();
        let received = timeout(Duration::from_secs(25), exchange(kit, (self.steps)(kit))).await;
        let wrong = match received {
            Err(_) => Some("the connection stays open".to_owned()),
            Ok(bytes) => self.compare(&bytes, begun.elapsed()).err(),
        };
        wrong.map(|wrong| format!("- {}: {wrong}", self.sent))
    }

    fn compare(&self, bytes: &[u8], took: Duration) -> Result<(), String> {
        let (status, code) = match self.expected {
            Expected::Closed => return Ok(()),
            Expected::AtOnce(..) if took > Duration::from_secs(1) => return Err(format!("took {took:?}")),
            Expected::Answer(status, code) | Expected::Fault(status, code, ..) | Expected::AtOnce(status, code) => {
                (status, code)
            }
        };
        let text = String::from_utf8_lossy(bytes);
        let last = last_answer(&text).ok_or_else(|| format!("no answer: {text:?}"))?;
        let (head, body) = last.split_once("\r\n\r\n").ok_or_else(|| format!("half an answer: {last:?}"))?;
        let body: Value = serde_json::from_str(body).map_err(|error| format!("{error}: {last}"))?;
        if head.split(' ').nth(1) != Some(&status.to_string()) || said(&body, status) != Some(code) {
            return Err(format!("not {status} {code} but: {last}"));
        }
        if let Expected::Fault(_, _, pointer, rule) = self.expected {
            let named = |fault: &Value| fault["pointer"] == pointer && fault["rule"] == rule;
            if !body["errors"].as_array().is_some_and(|faults| faults.iter().any(named)) {
                return Err(format!("no fault {rule} at {pointer}: {body}"));
            }
        }
        complete(status, head, &body)?;
        if text.contains(SECRET) { Err(format!("the payload is echoed: {last}")) } else { Ok(()) }
    }
}

fn last_answer(text: &str) -> Option<&str> {
    let begins = |at: &usize| text[at + 9..].starts_with(|first: char| first.is_ascii_digit());
    text.rmatch_indices("HTTP/1.1 ").map(|(at, _)| at).find(begins).map(|at| &text[at..])
}

fn said(body: &Value, status: u16) -> Option<&str> {
    body[if status < 400 { "status" } else { "code" }].as_str()
}

/// Every refusal is a whole problem document with the headers of its status.
fn complete(status: u16, head: &str, body: &Value) -> Result<(), String> {
    if status < 400 {
        return Ok(());
    }
    let id = body["request_id"].as_str().unwrap_or_default();
    let mut wanted = vec!["content-type: application/problem+json".to_owned(), format!("x-request-id: {id}")];
    wanted.extend((status == 401).then(|| "www-authenticate: Bearer".to_owned()));
    wanted.extend((status == 503).then(|| "retry-after: ".to_owned()));
    for header in wanted {
        if !head.contains(&header) {
            return Err(format!("without {header}: {head}"));
        }
    }
    for member in ["type", "title", "detail", "instance", "error"] {
        if !body[member].is_string() {
            return Err(format!("without {member}: {body}"));
        }
    }
    Ok(())
}

/// Does the steps, and reads until the server closes.
pub async fn exchange(kit: &Kit, steps: Vec<Step>) -> Vec<u8> {
    let (mut reader, mut writer) = TcpStream::connect(kit.address).await.expect("connect").into_split();
    let sending = async {
        for step in steps {
            match step {
                // A server that closes early is what many rows are about.
                Step::Send(bytes) => drop(writer.write_all(&bytes).await),
                Step::Wait(time) => sleep(time).await,
            }
        }
        std::future::pending::<()>().await;
    };
    let mut received = Vec::new();
    let reading = async {
        // A reset after the answer is an end like any other.
        drop(reader.read_to_end(&mut received).await);
    };
    tokio::select! {
        () = sending => {}
        () = reading => {}
    }
    received
}
