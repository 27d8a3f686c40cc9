//! A tiny HTTP server for the tests of the generator: answers by a function of the request's number and body.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the server does with one request.
pub(crate) enum Reply {
    /// Answers.
    Text(String),
    /// Closes the connection without a word.
    Hangup,
    /// Never answers.
    Silence,
}

impl Reply {
    /// A JSON answer.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::Text(format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nretry-after: 0\r\n\r\n{body}", body.len()))
    }
}

type Script = Arc<dyn Fn(u64, &str) -> Reply + Send + Sync>;

/// The server; requests are numbered from 0 over all connections.
pub(crate) struct TinyServer {
    address: SocketAddr,
    stop: CancellationToken,
    connections: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl TinyServer {
    /// Listens on a free port.
    pub(crate) async fn start(script: impl Fn(u64, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (stop, connections) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        let (token, counter, script) = (stop.clone(), connections.clone(), Arc::new(script) as Script);
        tasks.spawn(async move {
            let numbers = Arc::new(AtomicU64::new(0));
            let mut open = JoinSet::new();
            while let Some(Ok((stream, _))) = token.run_until_cancelled(listener.accept()).await {
                counter.fetch_add(1, Ordering::Relaxed);
                open.spawn(serve(stream, script.clone(), numbers.clone()));
            }
        });
        Self { address, stop, connections, tasks }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Closes the listener and every connection.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn serve(mut stream: TcpStream, script: Script, numbers: Arc<AtomicU64>) {
    let mut buffer = Vec::new();
    loop {
        let Some(body_at) = buffer.windows(4).position(|four: &[u8]| four == b"\r\n\r\n").map(|at| at + 4) else {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        let head = String::from_utf8_lossy(&buffer[..body_at]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        while buffer.len() < body_at + length {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body = String::from_utf8_lossy(&buffer[body_at..body_at + length]).into_owned();
        buffer.drain(..body_at + length);
        match script(numbers.fetch_add(1, Ordering::Relaxed), &body) {
            Reply::Text(text) if stream.write_all(text.as_bytes()).await.is_ok() => {}
            Reply::Text(_) | Reply::Hangup => return,
            Reply::Silence => std::future::pending().await,
        }
    }
}
