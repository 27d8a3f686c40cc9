//! A private Apache Kafka of one or three combined nodes. Invariant: node, port and data belong together for good, so a
//! node that comes back is the same one to its peers.

mod broker;
mod jars;
mod settings;

use std::{path::Path, thread, time::Duration};

use crate::{Error, Layout, Lifetime, Process, Result, files, ports};

pub use broker::Broker;
pub use jars::{ensure as ensure_jars, java, present as jars_present};

/// Three JVMs on two busy cores take their time.
pub(crate) const START: Duration = Duration::from_secs(120);

/// The brokers of one cluster.
#[derive(Debug)]
pub struct Kafka {
    brokers: Vec<Broker>,
}

impl Kafka {
    /// Starts the brokers of a directory (1 or 3), or takes over those that run there, and waits until all serve. The first may
    /// prefer a `port`, and a single one may name another, `seen_at`, to its clients.
    pub fn start_in(
        root: &Path,
        brokers: usize,
        (port, seen_at): (Option<u16>, Option<u16>),
        lifetime: Lifetime,
    ) -> Result<Self> {
        let layout = Layout::new(root)?;
        let java = jars::java()?;
        let jars = jars::ensure()?;
        let dir = layout.engine("kafka")?;
        let cluster_id = cluster_id(&dir)?;
        let names: Vec<String> = (1..=brokers).map(|node| format!("kafka-{node}")).collect();
        let mut processes = Vec::new();
        let mut members = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let process = Process::new(&layout, name)?;
            let running = process.is_running();
            let preferred = port.filter(|_| index == 0);
            let port = ports::claim(&layout, name, preferred, running)?;
            members.push(settings::Member {
                node: index + 1,
                port,
                seen_at: seen_at.filter(|_| brokers == 1).unwrap_or(port),
                controller_port: ports::claim(&layout, &format!("{name}-controller"), None, running)?,
            });
            processes.push(process);
        }
        let mut made = Vec::new();
        for (process, (name, member)) in processes.into_iter().zip(names.iter().zip(&members)) {
            let node = broker::Node {
                dir: layout.engine(&format!("kafka/{}", member.node))?,
                name: name.clone(),
                port: member.port,
                java: java.clone(),
                jars: jars.clone(),
                heap: if brokers == 1 { "-Xmx512m" } else { "-Xmx384m" },
                lifetime,
            };
            let text = settings::broker(&node.dir.join("data"), member, &members);
            made.push(Broker::new(process, node, &text, &cluster_id)?);
        }
        let kafka = Self { brokers: made };
        for broker in &kafka.brokers {
            if broker.is_running() && broker.wait_ready(Duration::from_secs(5)).is_err() {
                broker.kill()?;
            }
        }
        kafka.start()?;
        Ok(kafka)
    }

    /// Starts every broker that does not run and waits until all serve.
    pub fn start(&self) -> Result<()> {
        self.each(Broker::launch)?;
        self.wait_ready(START)
    }

    /// Ends all brokers in order, at once: the last of a cluster could not hand over anything anyway.
    pub fn stop(&self) -> Result<()> {
        self.each(Broker::stop)
    }

    /// Ends all brokers as a crash would.
    pub fn kill(&self) -> Result<()> {
        self.each(Broker::kill)
    }

    /// Freezes all brokers.
    pub fn pause(&self) {
        self.brokers.iter().for_each(Broker::pause);
    }

    /// Lets all brokers go on.
    pub fn resume(&self) {
        self.brokers.iter().for_each(Broker::resume);
    }

    /// Whether all brokers exist, paused or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.brokers.iter().all(Broker::is_running)
    }

    /// Waits until all brokers serve.
    pub fn wait_ready(&self, deadline: Duration) -> Result<()> {
        self.each(|broker| broker.wait_ready(deadline))
    }

    /// One broker, counted from 0.
    ///
    /// # Panics
    /// When there is no such broker.
    #[must_use]
    pub fn broker(&self, index: usize) -> &Broker {
        &self.brokers[index]
    }

    /// All brokers.
    #[must_use]
    pub fn brokers(&self) -> &[Broker] {
        &self.brokers
    }

    /// What a client connects to: `host:port,host:port,…`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.brokers.iter().map(Broker::address).collect();
        addresses.join(",")
    }

    /// Does something to all brokers at the same time and reports the first failure.
    fn each(&self, act: impl Fn(&Broker) -> Result<()> + Sync) -> Result<()> {
        let act = &act;
        thread::scope(|scope| {
            let running: Vec<_> = self.brokers.iter().map(|broker| scope.spawn(move || act(broker))).collect();
            running.into_iter().map(join).fold(Ok(()), Result::and)
        })
    }
}

/// The result of a scoped thread; its panic is ours.
pub(crate) fn join<T>(handle: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The name of the cluster, made up once; Kafka wants 16 bytes in URL-safe base64, which hexadecimal text also is.
fn cluster_id(dir: &Path) -> Result<String> {
    let secret = files::secret(&dir.join("cluster.id"))?;
    secret.get(..22).map(str::to_owned).ok_or_else(|| {
        Error::io(format!("read {}", dir.join("cluster.id").display()))(std::io::ErrorKind::InvalidData.into())
    })
}
