//! What the door takes: limits of events, batches and fields. Invariant: whatever passes these fits the log and Postgres.
//!
//! `WEIR_MAX_*`, `WEIR_REQUIRED_FIELDS`, `WEIR_SCHEMA_VERSIONS`, `WEIR_FUTURE_SECONDS`.

/// Limits of events, batches and fields.
#[derive(Debug, Clone, clap::Args)]
pub struct IngestConfig {
    /// Most bytes of one event
    #[arg(long, env = "WEIR_MAX_EVENT_BYTES", default_value_t = 65_536, value_name = "BYTES")]
    pub max_event_bytes: usize,
    /// Most events of one batch
    #[arg(long, env = "WEIR_MAX_BATCH_EVENTS", default_value_t = 1_000, value_name = "N")]
    pub max_batch_events: usize,
    /// Most bytes of a body on the wire
    #[arg(long, env = "WEIR_MAX_BODY_BYTES", default_value_t = 2_097_152, value_name = "BYTES")]
    pub max_body_bytes: usize,
    /// Most bytes of a body once inflated
    #[arg(long, env = "WEIR_MAX_INFLATED_BYTES", default_value_t = 8_388_608, value_name = "BYTES")]
    pub max_inflated_bytes: usize,
    /// Most times its size on the wire a body may inflate to, once it is past a mebibyte
    #[arg(long, env = "WEIR_MAX_INFLATE_RATIO", default_value_t = 100, value_name = "N")]
    pub max_inflate_ratio: usize,
    /// Most events of an NDJSON body
    #[arg(long, env = "WEIR_MAX_NDJSON_EVENTS", default_value_t = 10_000, value_name = "N")]
    pub max_ndjson_events: usize,
    /// Most bytes of an NDJSON body, on the wire and inflated
    #[arg(long, env = "WEIR_MAX_NDJSON_BYTES", default_value_t = 10_485_760, value_name = "BYTES")]
    pub max_ndjson_bytes: usize,
    /// Most bytes of `metadata`
    #[arg(long, env = "WEIR_MAX_METADATA_BYTES", default_value_t = 32_768, value_name = "BYTES")]
    pub max_metadata_bytes: usize,
    /// Deepest nesting of `metadata`
    #[arg(long, env = "WEIR_MAX_METADATA_DEPTH", default_value_t = 16, value_name = "N")]
    pub max_metadata_depth: usize,
    /// Fields required beside event_name and user_id, e.g. `timestamp,channel`
    #[arg(long, env = "WEIR_REQUIRED_FIELDS", value_delimiter = ',', value_name = "FIELD,…")]
    pub required_fields: Vec<String>,
    /// Accepted values of `schema_version`
    #[arg(long, env = "WEIR_SCHEMA_VERSIONS", value_delimiter = ',', default_value = "1", value_name = "N,…")]
    pub schema_versions: Vec<i32>,
    /// Seconds an event time may lie ahead of ours
    #[arg(long, env = "WEIR_FUTURE_SECONDS", default_value_t = 300, value_name = "S")]
    pub future_seconds: i64,
}

/// Fields `WEIR_REQUIRED_FIELDS` may name.
pub const REQUIRABLE: [&str; 9] =
    ["event_id", "channel", "source", "campaign_id", "timestamp", "tags", "value", "schema_version", "metadata"];

impl IngestConfig {
    pub(super) fn check(&self, mistakes: &mut Vec<String>) {
        for field in &self.required_fields {
            if !REQUIRABLE.contains(&field.as_str()) {
                mistakes.push(format!("WEIR_REQUIRED_FIELDS: {field:?} is not one of {}", REQUIRABLE.join(", ")));
            }
        }
        // librdkafka's default message.max.bytes is 1,000,000 and the broker's 1,048,588.
        if !(1_024..=900_000).contains(&self.max_event_bytes) {
            mistakes.push("WEIR_MAX_EVENT_BYTES must be 1024 to 900000: the log refuses larger records".into());
        }
        if self.max_metadata_bytes > self.max_event_bytes {
            mistakes.push("WEIR_MAX_METADATA_BYTES must not exceed WEIR_MAX_EVENT_BYTES".into());
        }
        if !(1..=100).contains(&self.max_metadata_depth) {
            mistakes.push("WEIR_MAX_METADATA_DEPTH must be 1 to 100".into());
        }
        if !(1..=100_000).contains(&self.max_batch_events) {
            mistakes.push("WEIR_MAX_BATCH_EVENTS must be 1 to 100000".into());
        }
        if !(1..=1_000_000).contains(&self.max_ndjson_events) {
            mistakes.push("WEIR_MAX_NDJSON_EVENTS must be 1 to 1000000".into());
        }
        if self.max_inflate_ratio == 0 {
            mistakes.push("WEIR_MAX_INFLATE_RATIO must be at least 1".into());
        }
        if self.schema_versions.is_empty() {
            mistakes.push("WEIR_SCHEMA_VERSIONS must name at least one version".into());
        }
    }
}
