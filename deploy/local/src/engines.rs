//! All three engines of one directory. Invariant: they start together or the error names the one that did not.

use std::{path::Path, thread};

use crate::{Kafka, Layout, Lifetime, Postgres, Redis, Result, kafka::join};

/// What engines to start and how.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Kafka brokers: 1 or 3.
    pub brokers: usize,
    /// Ports to use where they are free and the directory has none yet.
    pub ports: Ports,
    /// Whether the engines outlive the process that starts them.
    pub lifetime: Lifetime,
    /// Whether Postgres waits for the disk.
    pub durable: bool,
    /// The port by which clients are told to reach the one broker, where something stands in between.
    pub kafka_seen_at: Option<u16>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let (ports, lifetime) = (Ports::default(), Lifetime::WithParent);
        Self { brokers: 1, ports, lifetime, durable: false, kafka_seen_at: None }
    }
}

/// Preferred ports; `None` is any free one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ports {
    /// For Postgres.
    pub postgres: Option<u16>,
    /// For Redis.
    pub redis: Option<u16>,
    /// For the first Kafka broker.
    pub kafka: Option<u16>,
}

/// Running engines.
#[derive(Debug)]
pub struct Engines {
    /// Postgres with the service's logins.
    pub postgres: Postgres,
    /// Redis.
    pub redis: Redis,
    /// Kafka.
    pub kafka: Kafka,
    layout: Layout,
}

impl Engines {
    /// Starts the engines of a directory side by side, or takes over those that run there, and waits until all answer.
    pub fn start(root: &Path, options: &EngineOptions) -> Result<Self> {
        let layout = Layout::new(root)?;
        let EngineOptions { brokers, ports, lifetime, durable, kafka_seen_at } = options.clone();
        thread::scope(|scope| {
            let kafka = scope.spawn(|| Kafka::start_in(root, brokers, (ports.kafka, kafka_seen_at), lifetime));
            let postgres = scope.spawn(|| Postgres::start_in(root, ports.postgres, durable, lifetime));
            let redis = scope.spawn(|| Redis::start_in(root, ports.redis, lifetime));
            // All are joined before the first failure is returned, so that those that did start are dropped in order.
            let (kafka, postgres, redis) = (join(kafka), join(postgres), join(redis));
            Ok(Self { postgres: postgres?, redis: redis?, kafka: kafka?, layout })
        })
    }

    /// The directory they belong to.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// Ends all in order, at the same time.
    pub fn stop(&self) -> Result<()> {
        thread::scope(|scope| {
            let kafka = scope.spawn(|| self.kafka.stop());
            let postgres = scope.spawn(|| self.postgres.stop());
            let redis = self.redis.stop();
            join(kafka).and(join(postgres)).and(redis)
        })
    }
}
