//! Peers that stop in the middle, and lengths nobody wants to wait for. The test shortens the deadlines; the words name the
//! defaults.

use std::time::Duration;

use super::kit::Kit;
use super::row::{Expected, Row, Section, Step, all, row};

/// A beginning, then a byte every tenth of a second.
pub fn drip(begin: String, byte: u8, times: usize) -> Vec<Step> {
    let mut steps = all(begin);
    for _ in 0..times {
        steps.extend([Step::Wait(Duration::from_millis(100)), Step::Send(vec![byte])]);
    }
    steps
}

fn at_once(sent: &'static str, status: u16, code: &'static str, steps: fn(&Kit) -> Vec<Step>) -> Row {
    Row { sent, steps, expected: Expected::AtOnce(status, code) }
}

fn closed(sent: &'static str, steps: fn(&Kit) -> Vec<Step>) -> Row {
    Row { sent, steps, expected: Expected::Closed }
}

pub fn section() -> Section {
    let large = "body_too_large";
    Section {
        title: "Deadlines and lengths",
        about: "The head within 5 s, no pause in a body over 10 s, a body within 12 s, an answer within 15 s, no idle connection over 60 s.",
        rows: vec![
            row("a head that stops", 408, "head_timeout", |_| all("GET /health HTTP/1.1\r\nhost: a\r\n")),
            row("a head that drips byte by byte", 408, "head_timeout", |_| {
                drip("GET /health HTTP/1.1\r\nhost: a\r\nx: ".into(), b'y', 100)
            }),
            row(
                "a whole request and the beginning of the next in one packet, then silence",
                408,
                "head_timeout",
                |_| all("GET /health HTTP/1.1\r\nhost: a\r\n\r\nGET /hea"),
            ),
            row("a body that stops", 408, "body_timeout", |kit| {
                all(format!("{}content-length: 100\r\n\r\n{{", kit.begun()))
            }),
            row("a body that drips byte by byte past the deadline of the answer", 408, "body_timeout", |kit| {
                drip(format!("{}content-length: 100000\r\n\r\n", kit.begun()), b' ', 100)
            }),
            row("a chunked body that stops inside a chunk size", 408, "body_timeout", |kit| {
                all(format!("{}transfer-encoding: chunked\r\n\r\n1", kit.begun()))
            }),
            closed("nothing at all", |_| Vec::new()),
            closed("silence after an answered request", |_| all("GET /health HTTP/1.1\r\nhost: a\r\n\r\n")),
            closed("the beginning of HTTP/2, then silence", |_| all("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
            at_once("a Content-Length of 10^12, then silence", 413, large, |kit| {
                all(format!("{}content-length: 1000000000000\r\n\r\n", kit.begun()))
            }),
            at_once("the same with Expect: 100-continue", 413, large, |kit| {
                all(format!("{}expect: 100-continue\r\ncontent-length: 1000000000000\r\n\r\n", kit.begun()))
            }),
            at_once("no token and a Content-Length of 10^12, then silence", 401, "unauthorized", |_| {
                all("POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000000\r\nconnection: close\r\n\r\n")
            }),
            row("a body of 2 MiB and one byte", 413, large, |kit| kit.body(vec![b' '; (2 << 20) + 1])),
            row("a chunked body over 2 MiB", 413, large, |kit| {
                let chunk = format!("10000\r\n{}\r\n", " ".repeat(65_536));
                all(format!("{}transfer-encoding: chunked\r\n\r\n{}", kit.begun(), chunk.repeat(33)))
            }),
            row("a body of 30 MB", 413, large, |kit| kit.body(vec![b' '; 30_000_000])),
        ],
    }
}
