//! One broker. Invariant: its storage is formatted once, before its first start.

use std::{
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{START, settings};
use crate::{Launch, Lifetime, Process, Result, command, files};

const STOP: Duration = Duration::from_secs(10);

/// What does not change between two starts of a broker.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) dir: PathBuf,
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) java: PathBuf,
    pub(super) jars: PathBuf,
    pub(super) heap: &'static str,
    pub(super) lifetime: Lifetime,
}

/// One combined broker and controller.
#[derive(Debug)]
pub struct Broker {
    process: Process,
    node: Node,
    cluster_id: String,
}

impl Broker {
    pub(super) fn new(process: Process, node: Node, settings: &str, cluster_id: &str) -> Result<Self> {
        files::write_public(&node.dir.join("broker.properties"), settings)?;
        files::write_public(&node.dir.join("log4j2.properties"), settings::LOGGING)?;
        files::create_dir(&node.dir.join("tmp"), 0o700)?;
        Ok(Self { process, node, cluster_id: cluster_id.to_owned() })
    }

    /// Starts it again with the same port and data, and waits until it serves.
    pub fn start(&self) -> Result<()> {
        self.launch()?;
        self.wait_ready(START)
    }

    /// Starts it without waiting: one of three cannot serve before a second one is up.
    pub fn launch(&self) -> Result<()> {
        self.format()?;
        let launch = Launch::new(self.node.java.clone(), self.node.dir.clone(), self.node.lifetime)
            .args(self.jvm("kafka.Kafka"))
            .args([self.node.dir.join("broker.properties")]);
        self.process.start_engine(&launch)
    }

    /// Ends it in order: it hands its partitions over first.
    pub fn stop(&self) -> Result<()> {
        self.process.stop(Signal::SIGTERM, STOP)
    }

    /// Ends it as a crash would.
    pub fn kill(&self) -> Result<()> {
        self.process.kill()
    }

    /// Freezes it.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Whether it exists, paused or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.node.port
    }

    /// What a client connects to.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.node.port)
    }

    /// Waits until it said so and accepts connections.
    pub fn wait_ready(&self, deadline: Duration) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.node.port));
        self.process.wait_ready(deadline, || {
            fs::read_to_string(self.process.log()).is_ok_and(|log| log.contains(settings::STARTED))
                && TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
        })
    }

    /// Writes the marks without which Kafka refuses a directory.
    fn format(&self) -> Result<()> {
        if self.node.dir.join("data/meta.properties").is_file() {
            return Ok(());
        }
        let mut tool = Command::new(&self.node.java);
        tool.current_dir(&self.node.dir).args(self.jvm("kafka.tools.StorageTool"));
        tool.args(["format", "--ignore-formatted", "--cluster-id", &self.cluster_id, "--config", "broker.properties"]);
        command::run(&mut tool, "", START).map(drop)
    }

    fn jvm(&self, class: &str) -> Vec<OsString> {
        let Node { dir, jars, heap, name, .. } = &self.node;
        let mut classpath = jars.join("*").into_os_string();
        classpath.push(":");
        vec![
            heap.into(),
            "-XX:+UseSerialGC".into(),
            "-XX:TieredStopAtLevel=1".into(),
            // Otherwise a killed JVM leaves its unpacked libraries in the machine's /tmp for good.
            format!("-Djava.io.tmpdir={}", dir.join("tmp").display()).into(),
            format!("-Dlog4j2.configurationFile={}", dir.join("log4j2.properties").display()).into(),
            format!("-Dweir.engine={name}").into(),
            "-cp".into(),
            classpath,
            class.into(),
        ]
    }
}
