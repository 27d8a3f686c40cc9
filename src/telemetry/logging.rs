//! Log lines on stdout. Invariant: a blocked stdout never blocks a request; lines that find no room are dropped and counted.

use std::io;

use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::json_lines::JsonLines;
use super::lines::{FlushOnDrop, Lines};
use crate::config::TelemetryConfig;

/// Installs the process's subscriber. Keep the guard until the end: dropping it flushes what still waits.
///
/// A second call in one process (tests) leaves the first subscriber in place.
///
/// # Errors
/// When the system gives no thread.
pub fn init(config: &TelemetryConfig) -> io::Result<FlushOnDrop> {
    init_to(config, io::stdout())
}

/// The same on stderr, for commands whose stdout is their answer.
///
/// # Errors
/// When the system gives no thread.
pub fn init_to_stderr(config: &TelemetryConfig) -> io::Result<FlushOnDrop> {
    init_to(config, io::stderr())
}

fn init_to(config: &TelemetryConfig, sink: impl io::Write + Send + 'static) -> io::Result<FlushOnDrop> {
    let (writer, guard) = Lines::to(sink)?;
    if tracing::dispatcher::set_global_default(dispatch(config, writer)).is_err() {
        tracing::debug!("a subscriber is already installed");
    }
    Ok(guard)
}

/// The lines a process with this configuration writes, into any writer.
pub fn dispatch<W>(config: &TelemetryConfig, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(true).with_ansi(false);
    if config.log_format == "json" {
        builder.event_format(JsonLines).finish().into()
    } else {
        builder.compact().finish().into()
    }
}
