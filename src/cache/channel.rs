//! A word passed to whoever listens. Invariant: nobody depends on it: a word that is lost costs the time until the listener looks by
//! itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::Cmd;

use super::link::{Nodes, Patience};
use super::{CONNECT_DEADLINE, Cache, CacheError};
use crate::config::RedisConfig;

/// Distance between attempts to listen.
const RETRY: Duration = Duration::from_secs(1);

/// Something that all instances hear of.
#[derive(Clone)]
pub struct Channel {
    nodes: Arc<Nodes>,
    name: String,
}

impl Cache {
    /// Passes the word; a failure costs the listeners some time.
    pub async fn announce(&self, topic: &str) {
        let mut command = Cmd::new();
        command.arg("PUBLISH").arg(name(&self.prefix, topic)).arg("");
        // Nothing to give back either way: the failure is counted in `spare`.
        let _heard: Option<i64> = self.spare(command).await;
    }
}

impl Channel {
    /// The channel of that topic; listening connects.
    ///
    /// # Errors
    /// When `REDIS_URL` is absent or cannot be parsed.
    pub fn open(config: &RedisConfig, topic: &str) -> Result<Self, CacheError> {
        let url = config.redis_url.as_ref().ok_or(CacheError::Absent)?;
        let patience = Patience { connect: CONNECT_DEADLINE, answer: config.timeout(), pause: RETRY };
        let nodes = Arc::new(Nodes::of(config, url.expose(), patience).map_err(CacheError::Url)?);
        Ok(Self { nodes, name: name(&config.redis_prefix, topic) })
    }

    /// Calls `heard` for each word, and whenever listening begins (again), since words may have been lost. Never ends.
    pub async fn listen(&self, heard: impl Fn()) {
        loop {
            if let Err(error) = self.listen_once(&heard).await {
                tracing::debug!(%error, channel = self.name, "nothing is heard; it is tried again");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn listen_once(&self, heard: &impl Fn()) -> Result<(), CacheError> {
        let opening = async {
            let mut channel = self.nodes.client().await?.get_async_pubsub().await?;
            channel.subscribe(&self.name).await?;
            Ok(channel)
        };
        let mut channel = match tokio::time::timeout(CONNECT_DEADLINE, opening).await {
            Ok(opened) => opened.map_err(CacheError::Failed)?,
            Err(_) => return Err(CacheError::Late(CONNECT_DEADLINE)),
        };
        heard();
        let mut words = channel.on_message();
        while words.next().await.is_some() {
            heard();
        }
        Ok(())
    }
}

fn name(prefix: &str, topic: &str) -> String {
    format!("{prefix}:{topic}")
}
