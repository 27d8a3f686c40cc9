//! How the service speaks of itself. Invariant: nothing here can stop an event.
//!
//! `SERVICE_NAME`, `WEIR_LOG`, `WEIR_LOG_FORMAT`.

/// Name, log level and log format.
#[derive(Debug, Clone, clap::Args)]
pub struct TelemetryConfig {
    /// Name in logs and traces
    #[arg(long, env = "SERVICE_NAME", default_value = "weir", value_name = "NAME")]
    pub service_name: String,
    /// Log filter, e.g. `info,weir::worker=debug`
    #[arg(long, env = "WEIR_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// json or text
    #[arg(long, env = "WEIR_LOG_FORMAT", default_value = "json", value_name = "NAME")]
    pub log_format: String,
}

impl TelemetryConfig {
    pub(super) fn check(&self, mistakes: &mut Vec<String>) {
        if !["json", "text"].contains(&self.log_format.as_str()) {
            mistakes.push("WEIR_LOG_FORMAT must be json or text".into());
        }
        if self.log.parse::<tracing_subscriber::EnvFilter>().is_err() {
            mistakes.push("WEIR_LOG is not a log filter".into());
        }
    }
}
