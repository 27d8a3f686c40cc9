//! Readers of live streams. Invariant: a frame is given as the service wrote it.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::{Client, TestApp, eventually};

/// Longer than any frame may take in these tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// A reader of `/v1/stream`.
pub struct Sse {
    answer: reqwest::Response,
    held: String,
}

impl Sse {
    /// Opens a stream that must be granted. Where the brokers are too busy to say where the log ends, it asks again, as a client would.
    pub async fn open(client: &Client, path: &str, last_event_id: Option<&str>) -> Self {
        let answer = eventually("a stream", || async {
            let mut request = client.request("GET", path);
            if let Some(id) = last_event_id {
                request = request.header("Last-Event-ID", id);
            }
            let answer = request.send().await.expect("answer");
            (answer.status() != 503).then_some(answer)
        })
        .await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, held: String::new() }
    }

    /// The next frame; nothing at the end. Id and kind of the transport must agree with those of the frame.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((block, rest)) = self.held.split_once("\n\n") {
                let block = block.to_owned();
                self.held = rest.to_owned();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
                let Some(data) = field("data: ") else { continue };
                let frame: Value = serde_json::from_str(&data).expect("JSON");
                assert_eq!(frame["id"].as_str(), field("id: ").as_deref());
                assert_eq!(frame["type"], field("event: ").unwrap_or_else(|| "event".into()));
                return Some(frame);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await.expect("a frame in time");
            self.held.push_str(std::str::from_utf8(&chunk.ok()??).expect("text"));
        }
    }

    /// The next frame that is no heartbeat.
    pub async fn next_told(&mut self) -> Option<Value> {
        loop {
            let frame = self.next().await?;
            if frame["type"] != "heartbeat" {
                return Some(frame);
            }
        }
    }

    /// The ids of the next so many events.
    pub async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let frame = self.next_told().await.expect("another event");
            assert_eq!(frame["type"], "event", "{frame}");
            ids.push(frame["event_id"].as_str().expect("id").to_owned());
        }
        ids
    }
}

/// A reader of `/v1/ws`.
pub struct Ws(WebSocketStream<TcpStream>);

impl Ws {
    /// Shakes hands; the refusal's status otherwise.
    pub async fn open(app: &TestApp, path: &str, token: Option<&str>) -> Result<Self, u16> {
        let address = app.url().replace("http://", "");
        let mut request = format!("ws://{address}{path}").into_client_request().expect("request");
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("header"));
        }
        let stream = TcpStream::connect(&address).await.expect("connection");
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// The next frame; nothing after the close.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a frame in time")?.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).expect("JSON")),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}

/// Sends so many events of an account, numbered from `first`, in one batch; gives their ids.
pub async fn send(client: &Client, word: &str, first: usize, count: usize) -> Vec<String> {
    let ids: Vec<_> = (first..first + count).map(|n| format!("{word}-{n:05}")).collect();
    let event = |id: &String| json!({"event_name": word, "user_id": "u1", "event_id": id});
    let batch = json!({"events": ids.iter().map(event).collect::<Vec<_>>()});
    client.post("/v1/events/batch", &batch).await.expect(202);
    ids
}
