//! Log lines on stdout. Invariant: a blocked stdout never blocks a request; lines that find no room are dropped and counted.

use tracing::Dispatch;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::TelemetryConfig;

/// Lines that may wait for a slow stdout.
const BUFFERED_LINES: usize = 8_192;

/// Installs the process's subscriber. Keep the guard until the end: dropping it flushes what still waits.
///
/// A second call in one process (tests) leaves the first subscriber in place.
pub fn init(config: &TelemetryConfig) -> WorkerGuard {
    init_to(config, std::io::stdout())
}

/// The same on stderr, for commands whose stdout is their answer.
pub fn init_to_stderr(config: &TelemetryConfig) -> WorkerGuard {
    init_to(config, std::io::stderr())
}

fn init_to(config: &TelemetryConfig, sink: impl std::io::Write + Send + 'static) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(BUFFERED_LINES).finish(sink);
    super::metrics::watch_dropped_lines(writer.error_counter());
    if tracing::dispatcher::set_global_default(dispatch(config, writer)).is_err() {
        tracing::debug!("a subscriber is already installed");
    }
    guard
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
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().into()
    } else {
        builder.compact().finish().into()
    }
}
