//! `weir healthcheck`. Invariant: exit 0 only when the process says it is ready.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;

/// Which process to ask.
#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    /// Management address of the process
    #[arg(long, env = "WEIR_MANAGEMENT_LISTEN", default_value = "127.0.0.1:8001", value_name = "ADDR")]
    management_listen: SocketAddr,
    /// Port of the management address, when only the port differs
    #[arg(long, env = "METRICS_PORT", value_name = "PORT")]
    metrics_port: Option<u16>,
}

pub(super) fn check(args: &HealthArgs) -> anyhow::Result<()> {
    let mut address = args.management_listen;
    if let Some(port) = args.metrics_port {
        address.set_port(port);
    }
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    super::serve::runtime()?.block_on(async {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(3)).build()?;
        let answer = client.get(format!("http://{address}/ready")).send().await.context("no answer")?;
        anyhow::ensure!(answer.status().is_success(), "not ready: {}", answer.text().await.unwrap_or_default());
        Ok(())
    })
}
