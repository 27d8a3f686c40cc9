//! A connection to Redis, however Redis is kept: one server, a cluster, or a master that sentinels know. Invariant: it mends itself
//! while it is used, and nobody who gives up waiting holds that up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value};

use super::sentinel::Master;
use crate::config::{RedisConfig, RedisMode};

/// How often a cluster is asked again about where a slot has gone before the caller is told.
const CLUSTER_RETRIES: u32 = 3;

/// A node that says nothing for so long may have been replaced: the cluster is asked who has its slots.
const CLUSTER_ANSWER: Duration = Duration::from_secs(1);

/// How long things may take that a connection does by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// One attempt to connect.
    pub(super) connect: Duration,
    /// One answer.
    pub(super) answer: Duration,
    /// The longest pause between attempts to connect.
    pub(super) pause: Duration,
}

/// See the module. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub(super) enum Link {
    Server(ConnectionManager),
    Cluster(Box<ClusterConnection>),
    Master(Arc<Master>),
}

impl Link {
    /// Makes the client; the first command connects. Needs a running tokio runtime.
    pub(super) fn open(config: &RedisConfig, url: &str, patience: Patience) -> RedisResult<Self> {
        Ok(match config.redis_mode {
            RedisMode::Server => {
                let settings = ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(patience.connect))
                    .set_response_timeout(Some(patience.answer))
                    .set_max_delay(patience.pause);
                Self::Server(ConnectionManager::new_lazy_with_config(redis::Client::open(url)?, settings)?)
            }
            RedisMode::Cluster => {
                let nodes: Vec<&str> = addresses(url).collect();
                let client = ClusterClient::builder(nodes).retries(CLUSTER_RETRIES).build()?;
                let settings = ClusterConfig::new()
                    .set_connection_timeout(patience.connect)
                    .set_response_timeout(patience.answer.min(CLUSTER_ANSWER));
                Self::Cluster(Box::new(client.get_pending_async_connection_with_config(settings)))
            }
            RedisMode::Sentinel => Self::Master(Arc::new(Master::new(config, addresses(url), patience)?)),
        })
    }
}

/// Servers that pass words on: any node of a cluster hears what any other is told.
pub(super) enum Nodes {
    Servers { clients: Vec<redis::Client>, next: AtomicUsize },
    Master(Box<Master>),
}

impl Nodes {
    pub(super) fn of(config: &RedisConfig, url: &str, patience: Patience) -> RedisResult<Self> {
        if config.redis_mode == RedisMode::Sentinel {
            return Ok(Self::Master(Box::new(Master::new(config, addresses(url), patience)?)));
        }
        let clients = addresses(url).map(redis::Client::open).collect::<RedisResult<_>>()?;
        Ok(Self::Servers { clients, next: AtomicUsize::new(0) })
    }

    /// The next one to try.
    pub(super) async fn client(&self) -> RedisResult<redis::Client> {
        match self {
            Self::Servers { clients, next } => {
                let at = next.fetch_add(1, Ordering::Relaxed) % clients.len().max(1);
                let absent = || RedisError::from((ErrorKind::InvalidClientConfig, "no server is named"));
                clients.get(at).cloned().ok_or_else(absent)
            }
            Self::Master(master) => master.client().await,
        }
    }
}

/// The addresses in a list of them.
fn addresses(url: &str) -> impl Iterator<Item = &str> {
    url.split(',').map(str::trim).filter(|address| !address.is_empty())
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(server) => server.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
            Self::Master(master) => {
                master.run(move |mut connection| async move { connection.req_packed_command(command).await }).boxed()
            }
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(server) => server.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => match pipeline.is_transaction() {
                true => cluster.req_packed_commands(pipeline, offset, count),
                false => spread(cluster, pipeline).boxed(),
            },
            Self::Master(master) => master
                .run(move |mut connection| async move { connection.req_packed_commands(pipeline, offset, count).await })
                .boxed(),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(server) => server.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
            Self::Master(_) => 0,
        }
    }
}

/// The commands of a pipeline each to the node of its slot, all at once: the client takes pipelines of one slot only. Every command
/// has been answered when the first failure is told.
async fn spread(cluster: &ClusterConnection, pipeline: &Pipeline) -> Result<Vec<Value>, RedisError> {
    let asked = pipeline.cmd_iter().map(|command| {
        let mut cluster = cluster.clone();
        async move { cluster.req_packed_command(command).await }
    });
    join_all(asked).await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_addresses_is_taken_apart() {
        let found: Vec<_> = addresses("redis://a:1, redis://b:2,").collect();
        assert_eq!(found, ["redis://a:1", "redis://b:2"]);
    }
}
