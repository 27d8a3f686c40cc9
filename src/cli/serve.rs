//! The long-running roles and what prepares them. Invariant: SIGTERM and SIGINT end a role gracefully; a second one at once.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::app::{App, Roles};
use crate::config::Config;
use crate::{kafka, store, telemetry};

/// How long brokers that are still starting are waited for.
const TOPICS_DEADLINE: Duration = Duration::from_secs(30);

pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the async runtime")
}

pub(super) fn serve(config: Config, roles: Roles) -> anyhow::Result<()> {
    let _flush_logs_on_return = telemetry::logging::init(&config.telemetry)?;
    runtime()?.block_on(async {
        let app = App::start(config, roles).await?;
        tracing::info!(
            public.address = app.public_address().map(tracing::field::display),
            management.address = %app.management_address(),
            "serving"
        );
        let failure = tokio::select! {
            asked = stop_asked() => { asked?; None }
            failure = app.failed() => Some(failure),
        };
        tracing::info!("stopping");
        tokio::select! {
            stopped = app.stop() => stopped.and_then(|()| failure.map_or(Ok(()), |failure| anyhow::bail!(failure))),
            again = stop_asked() => again.and_then(|()| anyhow::bail!("stopped at once by a second signal")),
        }
    })
}

async fn stop_asked() -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

pub(super) fn migrate(config: Config) -> anyhow::Result<()> {
    let _flush_logs_on_return = telemetry::logging::init_to_stderr(&config.telemetry)?;
    runtime()?.block_on(async {
        let url = config
            .database
            .database_migrate_url
            .as_ref()
            .or(config.database.database_url.as_ref())
            .context("DATABASE_MIGRATE_URL must be set")?;
        store::migrate(url).await.context("the database schema could not be brought up to date")?;
        kafka::admin::ensure_topics(&config.kafka, Instant::now() + TOPICS_DEADLINE)
            .await
            .context("the topics could not be created")?;
        Ok(())
    })
}

pub(super) fn check_config(_sound: Config) -> anyhow::Result<()> {
    print("the configuration is sound")
}

/// Writes a text to stdout, which may be a closed pipe.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", text.trim_end()).context("cannot write to stdout")
}
