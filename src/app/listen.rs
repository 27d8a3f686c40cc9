//! A bound listener and the task that serves it. Invariant: the address is bound before the task starts, so a taken port fails
//! the start and not some request later.

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Running;
use super::alarm::Alarm;

/// Connections that may wait to be taken, where `net.core.somaxconn` allows as many: all clients of an instance that was restarted
/// come back at once. With the usual 128 the rest would be dropped unheard and try again after one second, then after three.
const BACKLOG: u32 = 4_096;

pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) running: Running,
}

impl Listening {
    pub(super) async fn start<F, Fut>(
        address: SocketAddr,
        tasks: &TaskTracker,
        alarm: &Alarm,
        serve: F,
    ) -> anyhow::Result<Self>
    where
        F: FnOnce(TcpListener, CancellationToken) -> Fut,
        Fut: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr().context("the listener has no address")?;
        let stop = CancellationToken::new();
        let serving = serve(listener, stop.clone());
        let (asked, mut guard) = (stop.clone(), alarm.guard("a listener"));
        let ended = tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, %address, "the listener ended");
            }
            if asked.is_cancelled() {
                guard.ended_as_asked();
            }
        });
        Ok(Self { address, running: Running { stop, ended } })
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for connections of the process before to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_crowd_that_comes_at_once_waits_and_is_not_dropped() {
        let listener = bind("127.0.0.1:0".parse().expect("address")).expect("listener");
        let address = listener.local_addr().expect("address");
        let most =
            std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|most| most.trim().parse().ok());
        // Nobody is taken meanwhile.
        let mut crowd = Vec::new();
        for number in 0..most.unwrap_or(128).min(400) {
            let connected = tokio::time::timeout(Duration::from_secs(60), TcpStream::connect(address)).await;
            crowd.push(connected.unwrap_or_else(|_| panic!("number {number} was dropped")).expect("connected"));
        }
        for _ in &crowd {
            listener.accept().await.expect("taken");
        }
    }
}
