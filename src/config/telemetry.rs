//! How the service speaks of itself. Invariant: nothing here can stop an event.
//!
//! `SERVICE_NAME`, `WEIR_LOG`, `WEIR_LOG_FORMAT`, `OTEL_EXPORTER_OTLP_ENDPOINT`, `WEIR_TRACE_PERCENT`.

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
    /// Where spans go, OTLP over HTTP in JSON, e.g. `http://127.0.0.1:4318`; none are made when absent
    #[arg(long = "otel-exporter-otlp-endpoint", env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Percent of the requests without a `traceparent` that begin a trace; with one, its sampled flag decides
    #[arg(long, env = "WEIR_TRACE_PERCENT", default_value_t = 1.0, value_name = "PERCENT")]
    pub trace_percent: f64,
}

impl TelemetryConfig {
    pub(super) fn check(&mut self, mistakes: &mut Vec<String>) {
        if !["json", "text"].contains(&self.log_format.as_str()) {
            mistakes.push("WEIR_LOG_FORMAT must be json or text".into());
        }
        if self.log.parse::<tracing_subscriber::EnvFilter>().is_err() {
            mistakes.push("WEIR_LOG is not a log filter".into());
        }
        // An orchestrator's template may leave it empty.
        self.otlp_endpoint = self.otlp_endpoint.take().filter(|url| !url.is_empty());
        let http = |url: &String| reqwest::Url::parse(url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()));
        if self.otlp_endpoint.as_ref().is_some_and(|url| !http(url)) {
            mistakes.push("OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL".into());
        }
        if !(0.0..=100.0).contains(&self.trace_percent) {
            mistakes.push("WEIR_TRACE_PERCENT must be 0 to 100".into());
        }
    }
}
