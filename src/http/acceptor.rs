//! First step of the path: takes connections. Invariant: no accept error spins, no connection beyond the caps is served, and
//! every socket has Nagle off and deadlines on.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::net::{TcpListener, TcpStream};

use super::connection::Connections;
use super::metrics;
use super::socket::{Limits, Socket};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Our listener under poem's server.
pub(super) struct Entrance {
    listener: TcpListener,
    address: SocketAddr,
    connections: Connections,
    limits: Limits,
    pause: Duration,
}

impl Entrance {
    /// Takes over a bound listener.
    ///
    /// # Errors
    /// When the listener has no local address.
    pub(super) fn new(listener: TcpListener, connections: Connections, limits: Limits) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { listener, address, connections, limits, pause: FIRST_PAUSE })
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) -> Option<(Socket<TcpStream>, SocketAddr)> {
        let local = stream.local_addr().unwrap_or(self.address);
        match self.connections.admit((local, peer)) {
            Ok(place) => {
                if let Err(error) = stream.set_nodelay(true) {
                    // The peer is gone already; the first read will tell.
                    tracing::debug!(%error, "TCP_NODELAY cannot be set");
                }
                Some((Socket::new(stream, place, self.limits), local))
            }
            Err(cap) => {
                metrics::connection_refused(cap);
                None
            }
        }
    }
}

/// Whether an accept error concerns only the connection that was to be accepted (accept(2)).
fn only_that_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

impl Acceptor for Entrance {
    type Io = Socket<TcpStream>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![LocalAddr(self.address.into())]
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.pause = FIRST_PAUSE;
                    if let Some((socket, local)) = self.admit(stream, peer) {
                        return Ok((socket, LocalAddr(local.into()), RemoteAddr(peer.into()), Scheme::HTTP));
                    }
                }
                Err(error) if only_that_connection(&error) => {}
                Err(error) => {
                    metrics::accept_failed(&error);
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_connection_over_the_cap_is_closed_at_once_and_the_next_one_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("addr");
        let second = Duration::from_secs(1);
        let limits = Limits { head: second, idle: second, write: second };
        let mut entrance = Entrance::new(listener, Connections::new("test", 1, 1), limits).expect("entrance");

        let _first = TcpStream::connect(address).await.expect("connect");
        let (served, ..) = entrance.accept().await.expect("accept");
        let mut over = TcpStream::connect(address).await.expect("connect");
        let (end, next) = tokio::join!(over.read_u8(), async {
            let accepting = tokio::time::timeout(Duration::from_millis(200), entrance.accept()).await;
            assert!(accepting.is_err(), "nothing to serve");
            drop(served);
            TcpStream::connect(address).await
        });
        assert!(end.is_err(), "closed");
        let _next = next.expect("connect");
        assert!(entrance.accept().await.is_ok());
    }
}
