//! Redis in numbers: a cluster of three masters, and a master with a replica that a sentinel watches. Invariant: a group that has
//! started answers as a whole; it begins empty each time, like one server does.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{
    Error, Launch, Layout, Lifetime, Process, Redis, Result, files, ports,
    redis::{answers_ping, ask, program},
    wait::poll,
};

/// How long a group may take to agree.
const AGREE: Duration = Duration::from_secs(30);

/// Slots of every cluster.
const SLOTS: u16 = 16_384;

/// Name of the master among sentinels.
const MASTER: &str = "mymaster";

/// Three masters that share the slots.
#[derive(Debug)]
pub struct RedisCluster {
    /// The nodes.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts a new cluster in a directory and waits until every node says that it is whole.
    pub fn start_in(root: &Path, lifetime: Lifetime) -> Result<Self> {
        let layout = Layout::new(root)?;
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for number in 0..3 {
            let name = format!("redis-cluster-{number}");
            let bus = ports::claim(&layout, &format!("{name}-bus"), None, false)?;
            // What an earlier cluster of the directory agreed on is not this one's.
            files::remove(&layout.engine(&name)?.join("nodes.conf"))?;
            let more =
                ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000"];
            let more = more.into_iter().chain(["--cluster-require-full-coverage", "no", "--cluster-port"]);
            let more = more.map(str::to_owned).chain([bus.to_string()]).collect();
            nodes.push(Redis::start_as(root, &name, (None, lifetime), more)?);
            buses.push(bus);
        }
        let cluster = Self { nodes };
        cluster.agree(&buses)?;
        Ok(cluster)
    }

    fn agree(&self, buses: &[u16]) -> Result<()> {
        let parts = u16::try_from(self.nodes.len()).unwrap_or(u16::MAX);
        for (at, (node, number)) in self.nodes.iter().zip(0_u16..).enumerate() {
            let (first, last) =
                (number * (SLOTS / parts), if number + 1 == parts { SLOTS } else { (number + 1) * (SLOTS / parts) });
            // Refused where they were told before, which does no harm: the wait below judges.
            ask(node.port(), &format!("CLUSTER ADDSLOTSRANGE {first} {}", last - 1));
            ask(node.port(), &format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
            if at > 0 {
                ask(node.port(), &format!("CLUSTER MEET 127.0.0.1 {} {}", self.nodes[0].port(), buses[0]));
            }
        }
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        let whole = |node: &Redis| {
            ask(node.port(), "CLUSTER INFO")
                .is_some_and(|info| info.contains("cluster_state:ok") && info.contains(&known))
        };
        let agreed = poll(AGREE, || self.nodes.iter().all(whole).then_some(()));
        agreed.ok_or_else(|| Error::io("make a cluster of Redis")(std::io::ErrorKind::TimedOut.into()))
    }

    /// What a client connects to: every node.
    #[must_use]
    pub fn url(&self) -> String {
        self.nodes.iter().map(Redis::url).collect::<Vec<_>>().join(",")
    }
}

/// A master, its replica, and a sentinel that makes the replica the master when it must.
#[derive(Debug)]
pub struct RedisSentinel {
    /// The master at the start.
    pub master: Redis,
    /// Its replica.
    pub replica: Redis,
    sentinel: Process,
    port: u16,
}

impl RedisSentinel {
    /// Starts them in a directory and waits until the sentinel knows both.
    pub fn start_in(root: &Path, lifetime: Lifetime) -> Result<Self> {
        let layout = Layout::new(root)?;
        let master = Redis::start_as(root, "redis-master", (None, lifetime), Vec::new())?;
        let of = ["--replicaof".to_owned(), "127.0.0.1".to_owned(), master.port().to_string()];
        let fast = ["--repl-diskless-sync-delay".to_owned(), "0".to_owned()];
        let replica = Redis::start_as(root, "redis-replica", (None, lifetime), of.into_iter().chain(fast).collect())?;
        let sentinel = Process::new(&layout, "redis-sentinel")?;
        let port = ports::claim(&layout, "redis-sentinel", None, false)?;
        let dir = layout.engine("redis-sentinel")?;
        let launch = Launch::new(program()?, dir.clone(), lifetime)
            .args([sentinel_settings(&dir, port, master.port())?.into_os_string()])
            .args(["--sentinel"]);
        sentinel.start_engine(&launch)?;
        sentinel.wait_ready(AGREE, || answers_ping(port).is_some())?;
        let group = Self { master, replica, sentinel, port };
        let knows = || {
            let told = ask(port, &format!("SENTINEL REPLICAS {MASTER}"))?;
            let synced = ask(group.replica.port(), "INFO replication")?.contains("master_link_status:up");
            (synced && told.contains(&group.replica.port().to_string())).then_some(())
        };
        let known = poll(AGREE, knows);
        known.ok_or_else(|| Error::io("make a sentinel know its Redis")(std::io::ErrorKind::TimedOut.into()))?;
        Ok(group)
    }

    /// What a client asks for the master.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Port of the server that the sentinel calls the master.
    #[must_use]
    pub fn master_port(&self) -> Option<u16> {
        let told = ask(self.port, &format!("SENTINEL GET-MASTER-ADDR-BY-NAME {MASTER}"))?;
        told.lines().filter_map(|line| line.parse().ok()).next_back()
    }

    /// Ends the sentinel; the servers end with their own.
    pub fn stop(&self) -> Result<()> {
        self.sentinel.stop(Signal::SIGTERM, Duration::from_secs(5))
    }
}

/// A sentinel keeps what it learns in its own settings, so they are a file it may write.
fn sentinel_settings(dir: &Path, port: u16, master: u16) -> Result<PathBuf> {
    let file = dir.join("sentinel.conf");
    let settings = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor {MASTER} 127.0.0.1 {master} 1\n\
         sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 5000\n"
    );
    files::write_private(&file, &settings)?;
    Ok(file)
}
