//! librdkafka's settings, one function a client. Invariant: whatever is configured, the producer is idempotent with acks=all
//! and keys hash like Java's, and the consumer never stores an offset by itself.

use rdkafka::ClientConfig;

use crate::config::KafkaConfig;

/// Most bytes of a record in the dead-letter topic: well above the broker's default for all others (1 MiB). The door keeps
/// events far below either.
pub(super) const DEAD_LETTER_BYTES: u32 = 4 * 1024 * 1024;

/// What every client shares: where the brokers are, how to trust them, how soon to come back.
fn common(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.kafka_server)
        .set("client.id", "weir")
        .set("security.protocol", &config.kafka_security_protocol)
        // The backoff decides how long a returned broker goes unnoticed (default: up to 10 s).
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        // A paused broker still accepts connections in its kernel: give up on them sooner than after 30 s.
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("allow.auto.create.topics", "false");
    if config.kafka_security_protocol.starts_with("sasl") {
        client.set("sasl.mechanism", &config.kafka_sasl_mechanism);
        if let Some(user) = &config.kafka_sasl_username {
            client.set("sasl.username", user);
        }
        if let Some(password) = &config.kafka_sasl_password {
            client.set("sasl.password", password.expose());
        }
    }
    if let Some(file) = &config.kafka_ca_file {
        client.set("ssl.ca.location", file.to_string_lossy());
    }
    client
}

/// The producer.
///
/// `message.timeout.ms` counts from hand-over and includes every retry. With idempotence a record that times out *after* it
/// was sent may or may not be in the log; librdkafka then drains the partition, takes a new producer epoch and goes on
/// (`enable.gapless.guarantee` stays false: with it such a timeout would be fatal). After such timeouts the log may hold a record
/// twice (seen: 107 of 51,901 while brokers of three were killed), presumably because what was in flight behind it is sent
/// again under the new epoch; the event id absorbs the copy. The timeout lies just under the answer's own deadline: a request
/// that was told "unknown" leaves nothing in the queue that could still be sent long after its client has moved on. librdkafka
/// looks for timed-out records once a second, so "long after" is at most about a second.
pub(super) fn producer(config: &KafkaConfig) -> ClientConfig {
    let ack_ms = config.kafka_ack_timeout_ms;
    let message_ms = (ack_ms * 9 / 10).max(u64::from(config.kafka_linger_ms) + 1);
    let mut client = common(config);
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("max.in.flight.requests.per.connection", "5")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", config.kafka_linger_ms.to_string())
        .set("compression.type", &config.kafka_compression)
        .set("message.timeout.ms", message_ms.to_string())
        .set("request.timeout.ms", message_ms.to_string())
        .set("retry.backoff.ms", "50")
        .set("retry.backoff.max.ms", "250")
        // An unknown topic is said to be unknown after this long, before the record times out without a reason.
        .set("topic.metadata.propagation.max.ms", (ack_ms / 2).to_string())
        // A dead letter is its record and more: it must fit although the record was as large as its topic takes.
        .set("message.max.bytes", DEAD_LETTER_BYTES.to_string())
        .set("queue.buffering.max.messages", config.kafka_queue_records.to_string())
        .set("queue.buffering.max.kbytes", config.kafka_queue_kib.to_string())
        .set("statistics.interval.ms", "5000");
    client
}

/// The worker's consumer: classic protocol, offsets stored by the worker only and committed by librdkafka every second.
pub(super) fn consumer(config: &KafkaConfig) -> ClientConfig {
    let mut client = reader(config);
    client
        .set("group.id", &config.kafka_group)
        // Bounds a synchronous commit, which would otherwise hold a revocation or a stop for a minute.
        .set("socket.timeout.ms", "10000")
        // KIP-848's protocol stalls in the bundled librdkafka 2.12.1 (libraries.md §1).
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", config.kafka_session_timeout_ms.to_string())
        .set("heartbeat.interval.ms", (config.kafka_session_timeout_ms / 5).min(3_000).to_string())
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        // New topics that match the pattern are found by the metadata refresh; within 10 s a worker reads them.
        .set("topic.metadata.refresh.interval.ms", "4000");
    if let Some(name) = &config.kafka_group_instance_id {
        client.set("group.instance.id", name);
    }
    client
}

/// A consumer outside any group, for reading a topic from end to end.
pub(super) fn scan(config: &KafkaConfig) -> ClientConfig {
    let mut client = reader(config);
    // librdkafka assigns nothing without a group. The scan never joins or commits; the workers' name needs no right of its own.
    client.set("group.id", &config.kafka_group).set("enable.partition.eof", "true");
    client
}

fn reader(config: &KafkaConfig) -> ClientConfig {
    let mut client = common(config);
    client
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        // An answer goes out with the first byte there is; the wait bounds an idle fetch only.
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "100")
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", config.kafka_fetch_ahead_kib.to_string());
    client
}

/// The client of topic administration.
pub(super) fn admin(config: &KafkaConfig) -> ClientConfig {
    common(config)
}
