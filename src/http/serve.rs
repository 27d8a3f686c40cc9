//! A listener from bind to drained. Invariant: after the token nothing new is accepted, idle connections close at once, running
//! requests get the drain time, and then the rest is closed by force: serving always ends.

use std::io;
use std::time::Duration;

use poem::{Endpoint, Response, Server};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::acceptor::Entrance;
use super::connection::Connections;
use super::door::{Threshold, Times};
use super::inspect::MAX_HEAD;
use super::metrics;
use super::socket::Limits;
use crate::config::HttpConfig;

/// Requests of one HTTP/2 connection at a time, or the cap on connections would bound nothing.
const STREAMS: u32 = 128;

/// One of the two listeners.
pub(super) struct Side {
    /// Its name in logs and metrics.
    pub(super) name: &'static str,
    /// What may follow a body before it is answered.
    pub(super) after_body: Duration,
}

/// Serves `routes` on `listener` until the token is cancelled and the connections are done.
pub(super) async fn serve<E>(
    listener: TcpListener,
    Side { name, after_body }: Side,
    routes: E,
    config: &HttpConfig,
    shutdown: CancellationToken,
) -> io::Result<()>
where
    E: Endpoint<Output = Response> + 'static,
{
    metrics::announce(name);
    let connections = Connections::new(name, config.http_max_connections, config.http_max_connections_per_peer);
    let limits = Limits {
        head: Duration::from_secs(config.http_header_seconds),
        idle: Duration::from_secs(config.http_idle_seconds),
        write: Duration::from_secs(config.http_body_stall_seconds),
    };
    let entrance = Entrance::new(listener, connections.clone(), limits)?;
    let door = Threshold::new(routes, connections, Times::of(config.request_deadline(), after_body));
    let drain = Duration::from_secs(config.drain_seconds);
    Server::new_with_acceptor(entrance)
        .name(name)
        .http2_max_concurrent_streams(STREAMS)
        .http2_max_header_list_size(MAX_HEAD as u32)
        .run_with_graceful_shutdown(door, shutdown.cancelled_owned(), Some(drain))
        .await
}
