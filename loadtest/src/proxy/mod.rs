//! A bad network between the service and an engine: a TCP proxy that can be told to misbehave. Invariant: what it forwards it
//! forwards unchanged and in order; bytes it has dropped end their connection once the network is good again, since both sides
//! would misread what follows.
//!
//! It runs on a thread of its own and dies with its owner.

mod pipe;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr, TcpListener as Listener};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Forwards at once.
    #[default]
    Good,
    /// Forwards each byte so much later, in either direction.
    Slow(Duration),
    /// Forwards nothing; connections stay open and new ones are taken.
    BlackHole,
    /// Forwards requests; answers are dropped.
    NoAnswers,
    /// Breaks connections, and new ones as soon as they come.
    Cut,
}

/// Where it leads, and how.
#[derive(Debug, Clone, Copy)]
struct State {
    target: Option<SocketAddr>,
    network: Network,
}

/// The proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free port; connections are broken until [`Proxy::lead_to`] names a target.
    ///
    /// # Errors
    /// When there is no port or no thread.
    pub fn start() -> anyhow::Result<Self> {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for a proxy")?;
        listener.set_nonblocking(true).context("a listener that does not block")?;
        let address = listener.local_addr().context("the address of a proxy")?;
        let (state, seen) = watch::channel(State { target: None, network: Network::Good });
        let stop = CancellationToken::new();
        let token = stop.clone();
        let thread = std::thread::Builder::new().name("proxy".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(serve(listener, seen, token)),
                Err(error) => crate::say(format_args!("a proxy cannot run: {error}")),
            }
        })?;
        Ok(Self { address, state, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Names what stands behind it.
    pub fn lead_to(&self, target: SocketAddr) {
        self.state.send_modify(|state| state.target = Some(target));
    }

    /// Changes the network, for open connections too.
    pub fn set(&self, network: Network) {
        self.state.send_modify(|state| state.network = network);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn serve(listener: Listener, state: watch::Receiver<State>, stop: CancellationToken) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut open = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        if let Ok((client, _)) = accepted {
            open.spawn(connection(client, state.clone()));
        }
        while open.try_join_next().is_some() {}
    }
}

/// One connection: two pipes, of which the first to end ends both.
async fn connection(client: TcpStream, state: watch::Receiver<State>) {
    let State { target, network } = *state.borrow();
    let (Some(target), false) = (target, network == Network::Cut) else { return };
    let Ok(server) = TcpStream::connect(target).await else { return };
    // Requests of these protocols are small and waited for.
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pipe::requests(from_client, to_server, state.clone()) => {}
        () = pipe::answers(from_server, to_client, state) => {}
    }
}
