//! What a broker is told. Invariant: pure text from the members of the cluster, so a restart writes the same again.

use std::path::Path;

/// Logging for a broker: warnings, and the one line by which its readiness is known.
pub(super) const LOGGING: &str = "\
status=warn
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %-5p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.started.name=kafka.server.KafkaRaftServer
logger.started.level=info
";

/// What that line says.
pub(super) const STARTED: &str = "Kafka Server started";

/// One combined broker and controller.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) node: usize,
    pub(super) port: u16,
    /// What clients are told.
    pub(super) seen_at: u16,
    pub(super) controller_port: u16,
}

/// The properties of one broker among the members of its cluster.
pub(super) fn broker(data: &Path, me: &Member, members: &[Member]) -> String {
    let replicas = members.len().min(3);
    let in_sync = if members.len() >= 3 { 2 } else { 1 };
    let voters: Vec<String> =
        members.iter().map(|member| format!("{}@127.0.0.1:{}", member.node, member.controller_port)).collect();
    // The voters are listed here and not kept in the log of the quorum: a directory may get other ports one day.
    format!(
        "process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{seen_at}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=8
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=2
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
log.segment.bytes=67108864
log.preallocate=false
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=8388608
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
",
        node = me.node,
        port = me.port,
        seen_at = me.seen_at,
        controller_port = me.controller_port,
        voters = voters.join(","),
        data = data.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(count: usize) -> String {
        let member = |(node, port)| Member { node, port, seen_at: port, controller_port: port + 1000 };
        let members: Vec<Member> = (1..=count).zip(1000..).map(member).collect();
        broker(Path::new("/data"), &members[0], &members)
    }

    #[test]
    fn one_broker_asks_for_no_second_replica() {
        let text = text(1);
        assert!(text.contains("\noffsets.topic.replication.factor=1\n") && text.contains("\nmin.insync.replicas=1\n"));
        assert!(text.contains("\ncontroller.quorum.voters=1@127.0.0.1:2000\n"));
    }

    #[test]
    fn three_brokers_hold_every_record_twice_at_least() {
        let text = text(3);
        assert!(text.contains("\noffsets.topic.replication.factor=3\n") && text.contains("\nmin.insync.replicas=2\n"));
        assert!(text.contains("=1@127.0.0.1:2000,2@127.0.0.1:2001,3@127.0.0.1:2002\n"));
    }
}
