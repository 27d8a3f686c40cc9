//! Thousands of clients that open a connection and then hardly move. Invariant: a third each sends half a head, half a body that
//! never goes on, or a whole request and nothing after it; each is watched until the service ends its connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::api::source;

/// How long the crowd may take to come in.
const GATHERED_WITHIN: Duration = Duration::from_secs(60);

/// The clients, on a thread of their own.
#[derive(Debug)]
pub struct Crowd {
    counts: Arc<Counts>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Let in.
    size: AtomicUsize,
    refused: AtomicUsize,
    /// Still connected.
    left: AtomicUsize,
}

impl Crowd {
    /// Connects all, and returns once each was let in or refused.
    ///
    /// # Errors
    /// When there is no thread for them.
    pub fn gather(peer: SocketAddr, clients: u16, token: &str) -> anyhow::Result<Self> {
        let (counts, stop) = (Arc::new(Counts::default()), CancellationToken::new());
        let requests = requests(token).map(Arc::<[u8]>::from);
        let (shared, token) = (counts.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("crowd".into()).spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                let mut crowd = JoinSet::new();
                for number in 0..clients {
                    let request = requests[usize::from(number) % requests.len()].clone();
                    crowd.spawn(client(peer, number, request, shared.clone()));
                    // In a trickle: a listener's queue is no part of what is tried.
                    if number % 50 == 0 {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
                let _ended = token.run_until_cancelled(async { while crowd.join_next().await.is_some() {} }).await;
            });
        })?;
        let crowd = Self { counts, stop, thread: Some(thread) };
        weir_local::poll(GATHERED_WITHIN, || (crowd.size() + crowd.refused() >= usize::from(clients)).then_some(()));
        Ok(crowd)
    }

    /// Clients that were let in.
    pub fn size(&self) -> usize {
        self.counts.size.load(Ordering::Relaxed)
    }

    /// Clients that could not connect.
    pub fn refused(&self) -> usize {
        self.counts.refused.load(Ordering::Relaxed)
    }

    /// Waits until the service has ended all connections, and tells how many it has not.
    pub fn wait_until_gone(self, patience: Duration) -> usize {
        let left = || self.counts.left.load(Ordering::Relaxed);
        weir_local::poll(patience, || (left() == 0).then_some(()));
        left()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn requests(token: &str) -> [Vec<u8>; 3] {
    let post = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    [
        format!("{post}x-slow: ").into_bytes(),
        format!("{post}authorization: Bearer {token}\r\ncontent-length: 100\r\n\r\n{{\"event_name\":").into_bytes(),
        b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
    ]
}

async fn client(peer: SocketAddr, number: u16, request: Arc<[u8]>, counts: Arc<Counts>) {
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(source(number))?;
        let mut stream = socket.connect(peer).await?;
        stream.write_all(&request).await?;
        std::io::Result::Ok(stream)
    };
    let Ok(mut stream) = connect.await else {
        counts.refused.fetch_add(1, Ordering::Relaxed);
        return;
    };
    counts.left.fetch_add(1, Ordering::Relaxed);
    counts.size.fetch_add(1, Ordering::Relaxed);
    // Whatever it says, it is the end that counts.
    while stream.read(&mut [0; 256]).await.is_ok_and(|read| read > 0) {}
    counts.left.fetch_sub(1, Ordering::Relaxed);
}
