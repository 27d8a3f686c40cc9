//! A tenant's HTTP client. Invariant: it never retries, so a test sees what the door said.

use serde_json::Value;
use std::time::Duration;

/// One answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: reqwest::header::HeaderMap,
    /// Body as JSON; null when it is not JSON.
    pub body: Value,
    /// Body as text.
    pub text: String,
}

impl Answer {
    /// The answer itself, when it has that status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A client of one base address with one token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of `base`, e.g. `http://127.0.0.1:8080`.
    pub fn new(base: String, token: Option<String>) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build().expect("client");
        Self { http, base, token }
    }

    /// A request that carries the token, for a test that needs more than the verbs below.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("method");
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        send(self.request("GET", path)).await.expect("answer")
    }

    /// GET; nothing when the connection fails.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        send(self.request("GET", path)).await.ok()
    }

    /// POST of a JSON body; nothing when the connection fails.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        let request = self.request("POST", path).header("content-type", "application/json");
        send(request.body(body.to_string())).await.ok()
    }

    /// GET from another base address, such as the management listener's.
    pub async fn get_at(&self, base: &str, path: &str) -> Answer {
        send(self.http.get(format!("{base}{path}"))).await.expect("answer")
    }

    /// POST of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_raw(path, "application/json", body.to_string()).await
    }

    /// POST of any bytes.
    pub async fn post_raw(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        send(self.request("POST", path).header("content-type", content_type).body(body)).await.expect("answer")
    }
}

/// Sends a request and reads the whole answer.
pub async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await?;
    Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text })
}
