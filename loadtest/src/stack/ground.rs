//! What a private stack stands on: how many brokers, proxies in between, a small disk. Invariant: all of it is there before the
//! service starts, and goes with the stack.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use weir_local::{EngineOptions, Engines};

use crate::disk::Disk;
use crate::proxy::Proxy;

/// The ground of choice.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Brokers: 1 or 3.
    pub brokers: usize,
    /// Whether the service reaches the engines through proxies; with one broker only.
    pub proxied: bool,
    /// MiB of a disk of its own for the one broker.
    pub kafka_disk_mib: Option<u32>,
    /// Variables for the service beyond the usual ones.
    pub variables: Vec<(String, String)>,
}

impl Default for Ground {
    fn default() -> Self {
        Self { brokers: 1, proxied: false, kafka_disk_mib: None, variables: Vec::new() }
    }
}

/// One proxy an engine.
#[derive(Debug)]
pub struct Proxies {
    /// Before the broker, which tells its clients to come this way.
    pub kafka: Proxy,
    /// Before Postgres.
    pub postgres: Proxy,
    /// Before Redis.
    pub redis: Proxy,
}

impl Ground {
    /// Adds a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    pub(super) fn lay(&self, root: &Path) -> anyhow::Result<(Engines, Option<Proxies>, Option<Disk>)> {
        let proxies = if self.proxied { Some(Proxies::start()?) } else { None };
        let disk = match self.kafka_disk_mib {
            Some(mib) => Some(Disk::mount(&root.join("kafka/1/data"), mib)?),
            None => None,
        };
        let kafka_seen_at = proxies.as_ref().map(|proxies| proxies.kafka.address().port());
        let options = EngineOptions { brokers: self.brokers, kafka_seen_at, ..EngineOptions::default() };
        Ok((Engines::start(root, &options)?, proxies, disk))
    }
}

impl Proxies {
    fn start() -> anyhow::Result<Self> {
        Ok(Self { kafka: Proxy::start()?, postgres: Proxy::start()?, redis: Proxy::start()? })
    }

    /// Leads each to its engine, and the service to them.
    pub(super) fn lead(&self, engines: &Engines, variables: &mut [(String, String)]) -> anyhow::Result<()> {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let pairs = [
            (&self.kafka, engines.kafka.broker(0).port()),
            (&self.postgres, engines.postgres.port()),
            (&self.redis, engines.redis.port()),
        ];
        for (proxy, port) in pairs {
            proxy.lead_to(at(port));
            let (direct, through) = (at(port).to_string(), proxy.address().to_string());
            let mut led = false;
            for (name, value) in variables.iter_mut().filter(|(name, _)| name != "DATABASE_MIGRATE_URL") {
                led |= value.contains(&direct) && name != "WEIR_LISTEN";
                *value = value.replace(&direct, &through);
            }
            led.then_some(()).context("an engine whose address the service is not told")?;
        }
        Ok(())
    }
}
