//! One keep-alive HTTP/1.1 connection, as lean as it gets: the generator shares its cores with what it measures. Invariant:
//! after an error or a `Connection: close` the connection is gone and the next call opens a new one.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest answer taken.
const MAX_ANSWER: usize = 4 << 20;
/// Longest wait for a connection: the peer is on this machine or near it.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lost {
    /// Nobody listens: the request was never sent.
    Refused,
    /// The connection broke; the request may have been taken.
    Reset,
    /// No answer in time; the request may have been taken.
    Timeout,
    /// The answer is not HTTP as this client knows it.
    Garbled,
}

/// An answer whose body stays in the connection's buffer until the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// Seconds of `Retry-After`, when the answer names them.
    pub retry_after: Option<u32>,
    /// The body, whole.
    pub body: &'a [u8],
}

/// What the head of an answer says.
#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    retry_after: Option<u32>,
    head_len: usize,
    body_len: usize,
    close: bool,
}

/// The connection.
#[derive(Debug)]
pub struct Client {
    peer: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    /// A client that connects at its first call.
    pub fn new(peer: SocketAddr) -> Self {
        Self { peer, stream: None, buffer: Vec::with_capacity(16 << 10) }
    }

    /// Sends the bytes of one request and waits for its answer, connection included, at most `within`.
    ///
    /// # Errors
    /// [`Lost`] tells whether the request may have been taken.
    pub async fn call(&mut self, request: &[u8], within: Duration) -> Result<Answer<'_>, Lost> {
        let head = match tokio::time::timeout(within, self.exchange(request)).await {
            Ok(Ok(head)) => head,
            Ok(Err(lost)) => {
                self.stream = None;
                return Err(lost);
            }
            Err(_) => {
                self.stream = None;
                return Err(Lost::Timeout);
            }
        };
        if head.close {
            self.stream = None;
        }
        let body = &self.buffer[head.head_len..head.head_len + head.body_len];
        Ok(Answer { status: head.status, retry_after: head.retry_after, body })
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Head, Lost> {
        // What the peer has closed meanwhile is no connection to send a request on.
        if self.stream.as_ref().is_some_and(is_spent) {
            self.stream = None;
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => {
                let connected = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(self.peer)).await;
                let stream = connected.map_err(|_| Lost::Refused)?.map_err(|_| Lost::Refused)?;
                stream.set_nodelay(true).map_err(|_| Lost::Refused)?;
                empty.insert(stream)
            }
        };
        stream.write_all(request).await.map_err(|_| Lost::Reset)?;
        self.buffer.clear();
        let mut head = None;
        loop {
            let read = stream.read_buf(&mut self.buffer).await.map_err(|_| Lost::Reset)?;
            if read == 0 {
                return Err(Lost::Reset);
            }
            if head.is_none() {
                head = parse_head(&self.buffer)?;
            }
            match head {
                Some(head) if head.body_len > MAX_ANSWER => return Err(Lost::Garbled),
                Some(head) if self.buffer.len() >= head.head_len + head.body_len => return Ok(head),
                Some(_) => {}
                None if self.buffer.len() > MAX_ANSWER => return Err(Lost::Garbled),
                None => {}
            }
        }
    }
}

/// Whether an idle connection is of no more use: closed by the peer, broken, or with bytes on it that nobody asked for.
fn is_spent(stream: &TcpStream) -> bool {
    !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Reads the head of an answer; `None` while it is incomplete. Only answers with a declared length are understood: the
/// service sends no others to a POST.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Lost> {
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut response = httparse::Response::new(&mut headers);
    let head_len = match response.parse(bytes).map_err(|_| Lost::Garbled)? {
        httparse::Status::Complete(len) => len,
        httparse::Status::Partial => return Ok(None),
    };
    let status = response.code.ok_or(Lost::Garbled)?;
    let mut head = Head { status, retry_after: None, head_len, body_len: 0, close: false };
    let mut length = (status == 204 || status == 304).then_some(0);
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok();
        } else if header.name.eq_ignore_ascii_case("retry-after") {
            head.retry_after = value.parse().ok();
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case("close");
        }
    }
    head.body_len = length.ok_or(Lost::Garbled)?;
    Ok(Some(head))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Reply, TinyServer};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";

    #[test]
    fn heads_are_read_whole_or_not_at_all() {
        assert!(matches!(parse_head(b"HTTP/1.1 202 Accep"), Ok(None)));
        let text = b"HTTP/1.1 503 X\r\nContent-Length: 7\r\nRetry-After: 2\r\nConnection: close\r\n\r\n";
        let head = parse_head(text).expect("valid").expect("complete");
        assert_eq!((head.status, head.retry_after, head.body_len, head.close), (503, Some(2), 7, true));
        assert!(matches!(parse_head(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Lost::Garbled)));
        assert!(matches!(parse_head(b"nonsense\r\n\r\n"), Err(Lost::Garbled)));
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_reopened_after_a_reset() {
        let mut server = TinyServer::start(|number, _| match number {
            1 => Reply::Hangup,
            _ => Reply::json(202, "{\"n\":1}"),
        })
        .await;
        let mut client = Client::new(server.address());
        assert_eq!(client.call(REQUEST, SECOND).await.map(|answer| answer.status), Ok(202));
        assert_eq!(client.call(REQUEST, SECOND).await, Err(Lost::Reset));
        assert_eq!(client.call(REQUEST, SECOND).await.map(|answer| answer.body.len()), Ok(7));
        assert_eq!(server.connections(), 2);
        server.stop().await;
        client.stream.as_ref().expect("kept").readable().await.expect("the end of the connection");
        assert_eq!(client.call(REQUEST, SECOND).await, Err(Lost::Refused), "nothing is sent where nobody reads");
    }

    #[tokio::test]
    async fn silence_is_a_timeout() {
        let mut server = TinyServer::start(|_, _| Reply::Silence).await;
        let mut client = Client::new(server.address());
        assert_eq!(client.call(REQUEST, Duration::from_millis(50)).await, Err(Lost::Timeout));
        server.stop().await;
    }
}
