//! `redis`: Redis in numbers, for a look by hand. Invariant: it ends with this process.

use std::{io::Read, path::Path};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use weir_local::{Lifetime, RedisCluster, RedisSentinel};

use super::out;

/// Options of `redis`.
#[derive(Debug, Args)]
pub(super) struct RedisArgs {
    /// Which.
    #[arg(value_enum)]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Three masters.
    Cluster,
    /// A master, its replica and a sentinel.
    Sentinel,
}

pub(super) fn run(dir: &Path, args: &RedisArgs) -> Result<()> {
    match args.kind {
        Kind::Cluster => {
            let cluster = RedisCluster::start_in(dir, Lifetime::WithParent)?;
            wait("cluster", &cluster.url())?;
            cluster.nodes.iter().try_for_each(weir_local::Redis::stop)?;
        }
        Kind::Sentinel => {
            let group = RedisSentinel::start_in(dir, Lifetime::WithParent)?;
            wait("sentinel", &group.url())?;
            group.stop()?;
            group.replica.stop()?;
            group.master.stop()?;
        }
    }
    Ok(())
}

fn wait(mode: &str, url: &str) -> Result<()> {
    out::line(&format!("export WEIR_REDIS_MODE='{mode}'"));
    out::line(&format!("export REDIS_URL='{url}'"));
    out::line("# running until stdin ends or Ctrl-C");
    std::io::stdin().read_to_end(&mut Vec::new()).context("read stdin")?;
    Ok(())
}
