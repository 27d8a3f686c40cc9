//! `engines`: engines for a bench or a look by hand. Invariant: they end with this process.

use std::{io::Read, path::Path};

use anyhow::{Context, Result};
use clap::Args;
use weir_local::{EngineOptions, Engines as Running, Login};

use super::out;

/// Options of `engines`.
#[derive(Debug, Args)]
pub(super) struct Engines {
    /// Kafka brokers.
    #[arg(long, default_value_t = 1, value_parser = one_or_three)]
    brokers: usize,
    /// Let Postgres wait for the disk.
    #[arg(long)]
    durable: bool,
}

pub(super) fn run(dir: &Path, args: &Engines) -> Result<()> {
    let options = EngineOptions { brokers: args.brokers, durable: args.durable, ..EngineOptions::default() };
    let engines = Running::start(dir, &options)?;
    engines.postgres.ensure_database("weir")?;
    for (name, value) in [
        ("DATABASE_URL", engines.postgres.login(Login::Api, "weir")),
        ("DATABASE_WORKER_URL", engines.postgres.login(Login::Worker, "weir")),
        ("DATABASE_MIGRATE_URL", engines.postgres.login(Login::Migrate, "weir")),
        ("DATABASE_ADMIN_URL", engines.postgres.superuser_url("weir")),
        ("REDIS_URL", engines.redis.url()),
        ("KAFKA_SERVER", engines.kafka.bootstrap()),
    ] {
        out::line(&format!("export {name}='{value}'"));
    }
    out::line("# running until stdin ends or Ctrl-C");
    std::io::stdin().read_to_end(&mut Vec::new()).context("read stdin")?;
    engines.stop()?;
    Ok(())
}

fn one_or_three(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1 or 3".to_owned()),
    }
}
