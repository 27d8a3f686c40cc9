//! The log: brokers, topics, producer and consumer settings. Invariant: the producer is idempotent with acks=all whatever is set.
//!
//! `KAFKA_SERVER`, `KAFKA_TOPIC`, `WEIR_KAFKA_*`.

use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;
use crate::domain::lane::Lane;

/// Brokers, topics, producer and consumer settings.
#[derive(Debug, Clone, clap::Args)]
pub struct KafkaConfig {
    /// Bootstrap brokers, comma-separated
    #[arg(long, env = "KAFKA_SERVER", default_value = "127.0.0.1:9092", value_name = "HOST:PORT,…")]
    pub kafka_server: String,
    /// Topic of events; the bulk lane is `<topic>.bulk`
    #[arg(long, env = "KAFKA_TOPIC", default_value = "weir.events", value_name = "TOPIC")]
    pub kafka_topic: String,
    /// Topic of dead letters
    #[arg(long, env = "WEIR_KAFKA_DEAD_LETTER_TOPIC", default_value = "weir.dead-letters", value_name = "TOPIC")]
    pub kafka_dead_letter_topic: String,
    /// Consumer group of the workers; that of the bulk lane is `<group>.bulk`
    #[arg(long, env = "WEIR_KAFKA_GROUP", default_value = "weir-worker", value_name = "NAME")]
    pub kafka_group: String,
    /// Partitions of a topic when it is created; each partition-batch costs about 30 µs on either side, so few are cheaper
    #[arg(long, env = "WEIR_KAFKA_PARTITIONS", default_value_t = 6, value_name = "N")]
    pub kafka_partitions: i32,
    /// Replicas of a topic when it is created; 0 means 3 where there are 3 brokers, else 1
    #[arg(long, env = "WEIR_KAFKA_REPLICATION", default_value_t = 0, value_name = "N")]
    pub kafka_replication: i32,
    /// Days a topic keeps its records; must stay below WEIR_RETENTION_DAYS
    #[arg(long, env = "WEIR_KAFKA_RETENTION_DAYS", default_value_t = 7, value_name = "DAYS")]
    pub kafka_retention_days: u32,
    /// Days the dead-letter topic keeps its records; must stay below WEIR_RETENTION_DAYS
    #[arg(long, env = "WEIR_KAFKA_DEAD_LETTER_RETENTION_DAYS", default_value_t = 30, value_name = "DAYS")]
    pub kafka_dead_letter_retention_days: u32,
    /// Milliseconds without a heartbeat after which the group gives a worker's partitions to others
    #[arg(long, env = "WEIR_KAFKA_SESSION_TIMEOUT_MS", default_value_t = 10_000, value_name = "MS")]
    pub kafka_session_timeout_ms: u32,
    /// Fixed name of this worker in its group: after a restart it gets its partitions back without a rebalance, and while it
    /// is away they wait for it until the session timeout. Two workers must not share a name: the later throws the earlier out
    #[arg(long, env = "WEIR_KAFKA_GROUP_INSTANCE_ID", value_name = "NAME")]
    pub kafka_group_instance_id: Option<String>,
    /// Most bytes a worker fetches ahead, in KiB
    #[arg(long, env = "WEIR_KAFKA_FETCH_AHEAD_KIB", default_value_t = 16_384, value_name = "KIB")]
    pub kafka_fetch_ahead_kib: u32,
    /// Milliseconds the producer waits to fill a batch; it is the floor of a single event's latency
    #[arg(long, env = "WEIR_KAFKA_LINGER_MS", default_value_t = 5, value_name = "MS")]
    pub kafka_linger_ms: u32,
    /// Milliseconds an answer waits for the acknowledgement before it says the outcome is unknown
    #[arg(long, env = "WEIR_KAFKA_ACK_TIMEOUT_MS", default_value_t = 2_000, value_name = "MS")]
    pub kafka_ack_timeout_ms: u64,
    /// Milliseconds without an acknowledgement, and then without an answer, after which the log counts as away; twice this and a
    /// tenth of a second should stay under two seconds, and above what a far or busy broker needs
    #[arg(long, env = "WEIR_KAFKA_STALL_MS", default_value_t = 600, value_name = "MS")]
    pub kafka_stall_ms: u64,
    /// Most bytes in the producer queue, in KiB
    #[arg(long, env = "WEIR_KAFKA_QUEUE_KIB", default_value_t = 131_072, value_name = "KIB")]
    pub kafka_queue_kib: u32,
    /// Most records in the producer queue
    #[arg(long, env = "WEIR_KAFKA_QUEUE_RECORDS", default_value_t = 500_000, value_name = "N")]
    pub kafka_queue_records: u32,
    /// Compression of record batches: none, gzip, snappy, lz4 or zstd
    #[arg(long, env = "WEIR_KAFKA_COMPRESSION", default_value = "lz4", value_name = "NAME")]
    pub kafka_compression: String,
    /// plaintext, ssl, sasl_plaintext or sasl_ssl
    #[arg(long, env = "WEIR_KAFKA_SECURITY_PROTOCOL", default_value = "plaintext", value_name = "NAME")]
    pub kafka_security_protocol: String,
    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
    #[arg(long, env = "WEIR_KAFKA_SASL_MECHANISM", default_value = "SCRAM-SHA-512", value_name = "NAME")]
    pub kafka_sasl_mechanism: String,
    /// SASL user
    #[arg(long, env = "WEIR_KAFKA_SASL_USERNAME", value_name = "NAME")]
    pub kafka_sasl_username: Option<String>,
    /// SASL password
    #[arg(long, env = "WEIR_KAFKA_SASL_PASSWORD", value_name = "SECRET", hide_env_values = true)]
    pub kafka_sasl_password: Option<Secret>,
    /// File that holds the SASL password
    #[arg(long, env = "WEIR_KAFKA_SASL_PASSWORD_FILE", value_name = "PATH")]
    pub kafka_sasl_password_file: Option<PathBuf>,
    /// CA certificates (PEM) for TLS to the brokers
    #[arg(long, env = "WEIR_KAFKA_CA_FILE", value_name = "PATH")]
    pub kafka_ca_file: Option<PathBuf>,
}

/// Between the event topic and the name of a class.
const CLASS: &str = ".class.";

impl KafkaConfig {
    /// How long nothing may be acknowledged, and then nothing be answered, before the log counts as away.
    pub fn stall(&self) -> Duration {
        Duration::from_millis(self.kafka_stall_ms)
    }

    /// How long an answer waits for the acknowledgement.
    pub fn ack_timeout(&self) -> Duration {
        Duration::from_millis(self.kafka_ack_timeout_ms)
    }

    /// Topic of a class of event names.
    pub fn class_topic(&self, class: &str) -> String {
        format!("{}{CLASS}{class}", self.kafka_topic)
    }

    /// Whether a topic holds events: the default one or that of a class, of either lane.
    pub fn holds_events(&self, topic: &str) -> bool {
        let rest = Lane::base(topic).strip_prefix(&*self.kafka_topic);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(CLASS))
    }

    /// Consumer group of the bulk lane.
    pub fn bulk_group(&self) -> String {
        format!("{}.bulk", self.kafka_group)
    }

    pub(super) fn resolve(&mut self, mistakes: &mut Vec<String>) {
        match Secret::resolve(
            "WEIR_KAFKA_SASL_PASSWORD",
            self.kafka_sasl_password.as_ref(),
            self.kafka_sasl_password_file.take().as_deref(),
        ) {
            Ok(secret) => self.kafka_sasl_password = secret,
            Err(mistake) => mistakes.push(mistake),
        }
        if self.kafka_security_protocol.starts_with("sasl")
            && (self.kafka_sasl_username.is_none() || self.kafka_sasl_password.is_none())
        {
            mistakes.push(format!(
                "WEIR_KAFKA_SECURITY_PROTOCOL={} needs WEIR_KAFKA_SASL_USERNAME and WEIR_KAFKA_SASL_PASSWORD",
                self.kafka_security_protocol
            ));
        }
        let choices = [
            (
                "WEIR_KAFKA_SECURITY_PROTOCOL",
                &self.kafka_security_protocol,
                &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"][..],
            ),
            ("WEIR_KAFKA_SASL_MECHANISM", &self.kafka_sasl_mechanism, &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"][..]),
            ("WEIR_KAFKA_COMPRESSION", &self.kafka_compression, &["none", "gzip", "snappy", "lz4", "zstd"][..]),
        ];
        for (name, value, allowed) in choices {
            if !allowed.contains(&value.as_str()) {
                mistakes.push(format!("{name} must be one of {}", allowed.join(", ")));
            }
        }
        // A broker refuses session timeouts outside group.min/max.session.timeout.ms, by default 6 s to 30 min.
        if !(6_000..=1_800_000).contains(&self.kafka_session_timeout_ms) {
            mistakes.push("WEIR_KAFKA_SESSION_TIMEOUT_MS must be 6000 to 1800000".into());
        }
        if !(1_024..=2_097_151).contains(&self.kafka_fetch_ahead_kib) {
            mistakes.push("WEIR_KAFKA_FETCH_AHEAD_KIB must be 1024 to 2097151".into());
        }
        if !(1_024..=2_097_151).contains(&self.kafka_queue_kib) {
            mistakes.push("WEIR_KAFKA_QUEUE_KIB must be 1024 to 2097151".into());
        }
        if !(1..=10_000_000).contains(&self.kafka_queue_records) {
            mistakes.push("WEIR_KAFKA_QUEUE_RECORDS must be 1 to 10000000".into());
        }
        if !(1..=1000).contains(&self.kafka_partitions) {
            mistakes.push("WEIR_KAFKA_PARTITIONS must be 1 to 1000".into());
        }
        if !(100..=14_000).contains(&self.kafka_ack_timeout_ms) {
            mistakes.push("WEIR_KAFKA_ACK_TIMEOUT_MS must be 100 to 14000, below the 15 s of a request".into());
        }
        if !(50..=14_000).contains(&self.kafka_stall_ms) {
            mistakes.push("WEIR_KAFKA_STALL_MS must be 50 to 14000".into());
        }
        if u64::from(self.kafka_linger_ms) >= self.kafka_ack_timeout_ms {
            mistakes.push("WEIR_KAFKA_LINGER_MS must be below WEIR_KAFKA_ACK_TIMEOUT_MS".into());
        }
    }
}
