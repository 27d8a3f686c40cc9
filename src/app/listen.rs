//! A bound listener and the task that serves it. Invariant: the address is bound before the task starts, so a taken port fails
//! the start and not some request later.

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Running;
use super::alarm::Alarm;

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
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
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
