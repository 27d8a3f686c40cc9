//! The bytes of a request. Invariant: about 400 bytes an event, the size the cost model of `docs/performance.md` speaks of,
//! and nothing is rendered twice: head per account, events per request.

use std::fmt::Write;

use super::accounts::scramble;
use crate::journal::{Attempt, event_id};

/// Renders requests into a buffer of its own.
#[derive(Debug)]
pub struct Payload {
    run: String,
    batch: bool,
    /// Unix second of the start.
    start_seconds: i64,
    body: String,
    request: Vec<u8>,
}

const NAMES: [&str; 5] = ["page_view", "click", "add_to_cart", "purchase", "signup"];
const CHANNELS: [&str; 5] = ["web", "mobile", "api", "email", "push"];

impl Payload {
    /// For a run; `batch` decides between the two endpoints' forms.
    pub fn new(run: &str, batch: bool, start_micros: i64) -> Self {
        let start_seconds = start_micros / 1_000_000;
        Self { run: run.to_owned(), batch, start_seconds, body: String::new(), request: Vec::new() }
    }

    /// The request line and the headers of one account, up to the length.
    pub fn head(path: &str, host: &str, token: &str) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: "
        )
    }

    /// The whole request of an attempt.
    pub fn render(&mut self, head: &str, attempt: &Attempt) -> &[u8] {
        self.body.clear();
        if self.batch {
            self.body.push_str("{\"events\":[");
        }
        for offset in 0..u64::from(attempt.count) {
            if offset > 0 {
                self.body.push(',');
            }
            self.event(attempt.first + offset, attempt.due);
        }
        if self.batch {
            self.body.push_str("]}");
        }
        self.request.clear();
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(self.body.len().to_string().as_bytes());
        self.request.extend_from_slice(b"\r\n\r\n");
        self.request.extend_from_slice(self.body.as_bytes());
        &self.request
    }

    /// One event; the same number gives the same bytes, so that a retry repeats what it retries.
    fn event(&mut self, number: u64, due: u64) {
        let random = scramble(number);
        let name = NAMES[(random % 5) as usize];
        let channel = CHANNELS[(random / 5 % 5) as usize];
        let user = random / 25 % 10_000;
        let cents = random / 250_000 % 100_000;
        let seconds = self.start_seconds + i64::try_from(due / 1_000_000).unwrap_or(0);
        let id = event_id(&self.run, number);
        let written = write!(
            self.body,
            "{{\"event_id\":\"{id}\",\"event_name\":\"{name}\",\"user_id\":\"user-{user}\",\"channel\":\"{channel}\",\
             \"source\":\"loadtest\",\"campaign_id\":\"autumn-{}\",\"timestamp\":{seconds},\"tags\":[\"synthetic\",\"load\"],\
             \"value\":{}.{:02},\"metadata\":{{\"sequence\":{number},\"page\":\"/products/{}\",\"referrer\":\
             \"https://shop.example/search?q=weir\",\"session\":\"{random:016x}\",\"viewport\":[1440,900],\"experiment\":\"b\",\
             \"agent\":\"weir-loadtest/0.1\"}}}}",
            random % 7,
            cents / 100,
            cents % 100,
            random % 5_000,
        );
        // Writing to a String cannot fail.
        debug_assert!(written.is_ok());
    }
}

/// The text of one event alone, for arms that bypass the door.
pub fn event_text(number: u64) -> String {
    let mut payload = Payload::new("raw", false, 1_700_000_000_000_000);
    payload.event(number, 0);
    payload.body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(count: u32) -> Attempt {
        Attempt { request: 0, attempt: 0, account: 0, first: 5, count, due: 2_000_000, sent: 0 }
    }

    fn body_of(request: &[u8]) -> serde_json::Value {
        let text = std::str::from_utf8(request).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("head");
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
        serde_json::from_str(body).expect("JSON")
    }

    #[test]
    fn a_single_is_one_event_of_the_expected_size() {
        let mut payload = Payload::new("lt", false, 1_000_000_000);
        let head = Payload::head("/v1/events", "h", "t");
        let request = payload.render(&head, &attempt(1)).to_vec();
        let body = body_of(&request);
        assert_eq!(body["event_id"], event_id("lt", 5));
        assert_eq!(body["timestamp"], 1_002);
        assert!((380..440).contains(&(request.len() - head.len())), "{}", request.len() - head.len());
        assert_eq!(payload.render(&head, &attempt(1)), request, "a retry repeats the bytes");
    }

    #[test]
    fn a_batch_holds_its_range() {
        let mut payload = Payload::new("lt", true, 0);
        let body = body_of(payload.render(&Payload::head("/v1/events/batch", "h", "t"), &attempt(3)));
        assert_eq!(body["events"].as_array().map(Vec::len), Some(3));
        assert_eq!(body["events"][2]["event_id"], event_id("lt", 7));
    }
}
