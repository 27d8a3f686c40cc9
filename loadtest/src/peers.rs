//! What a reader would pick instead: the same door by the usual means of Go, Python and Node, from `loadtest/peers`. Invariant: a peer
//! gets the keys, topic settings, linger and compression of the service, and does nothing the service does not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use weir::config::Config;
use weir_local::{Launch, Lifetime, Process};

use crate::cpu::Meter;
use crate::generate::Key;
use crate::stack::Stack;

/// Node and Python need their time on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Database of Redis that is the queue's, apart from what the service keeps there.
const QUEUE_DATABASE: u8 = 1;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Gin and franz-go.
    Gin,
    /// FastAPI and aiokafka.
    FastApi,
    /// Nest on Fastify and BullMQ: a queue in Redis, a weaker promise than a log.
    Nest,
}

impl Peer {
    /// Its name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gin => "Gin + franz-go",
            Self::FastApi => "FastAPI + aiokafka",
            Self::Nest => "Nest + BullMQ",
        }
    }

    /// What answers for an event besides the service itself.
    pub fn components(self) -> &'static [&'static str] {
        match self {
            Self::Gin | Self::FastApi => &["api", "kafka"],
            Self::Nest => &["api", "redis"],
        }
    }

    fn slug(self) -> &'static str {
        match self {
            Self::Gin => "gin",
            Self::FastApi => "fastapi",
            Self::Nest => "nest",
        }
    }

    /// Program and arguments below the directory that `install.sh` fills.
    fn command(self, dir: &Path) -> (PathBuf, Vec<PathBuf>) {
        let own = dir.join(self.slug());
        match self {
            Self::Gin => (own.join("peer"), Vec::new()),
            Self::FastApi => (own.join("venv/bin/python"), vec![own.join("main.py")]),
            Self::Nest => (PathBuf::from("node"), vec![own.join("dist/main.js")]),
        }
    }
}

/// A peer that runs.
#[derive(Debug)]
pub struct Running {
    peer: Peer,
    process: Process,
    address: SocketAddr,
    redis_port: u16,
    broker: Option<u32>,
    redis: Option<u32>,
}

impl Running {
    /// Starts a peer on the engines of a stack; it takes tokens of `key` alone.
    ///
    /// # Errors
    /// When it is not installed or does not listen in time.
    pub fn start(peer: Peer, dir: &Path, stack: &Stack, key: &Key) -> anyhow::Result<Self> {
        let (program, args) = peer.command(dir);
        ensure!(
            dir.join(peer.slug()).is_dir(),
            "{} is not in {}: run loadtest/peers/install.sh",
            peer.as_str(),
            dir.display()
        );
        let (name, topic) = (peer.slug(), format!("peer.{}", peer.slug()));
        // A peer may run twice, with one kind of token each.
        let layout = stack.layout(&format!("{name}-{}", key_variable(key).0))?;
        let address = SocketAddr::from(([127, 0, 0, 1], weir_local::claim_port(&layout, name, None, false)?));
        ensure_topic(stack, &topic)?;
        let redis_port = stack.engines.redis.port();
        let mut launch = Launch::new(program, layout.root().to_owned(), Lifetime::WithParent).args(args);
        launch.env = [
            ("PEER_LISTEN", address.to_string()),
            ("PEER_KAFKA", stack.engines.kafka.bootstrap()),
            ("PEER_TOPIC", topic),
            ("PEER_REDIS", format!("redis://127.0.0.1:{redis_port}/{QUEUE_DATABASE}")),
            ("PEER_ISSUER", "weir-local".to_owned()),
            ("PEER_AUDIENCE", "weir".to_owned()),
            ("NODE_ENV", "production".to_owned()),
        ]
        .into_iter()
        .chain([key_variable(key)])
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        let process = Process::new(&layout, name)?;
        process.start(&launch)?;
        process.wait_ready(READY_WITHIN, || TcpStream::connect(address).is_ok())?;
        let (broker, redis) = (stack.engines.kafka.broker(0).pid(), stack.engines.redis.pid());
        Ok(Self { peer, process, address, redis_port, broker, redis })
    }

    /// Which one.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Where events go.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The processor time of it and of what it writes to.
    pub fn meter(&self) -> Meter {
        Meter::default().with("api", self.process.pid()).with("kafka", self.broker).with("redis", self.redis)
    }

    /// Empties the queue, which nobody works on: the next round shall find Redis as this one did.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn settle(&self) -> anyhow::Result<()> {
        if self.peer != Peer::Nest {
            return Ok(());
        }
        let mut stream = TcpStream::connect(("127.0.0.1", self.redis_port)).context("Redis")?;
        stream.set_read_timeout(Some(READY_WITHIN))?;
        write!(stream, "SELECT {QUEUE_DATABASE}\r\nFLUSHDB\r\nQUIT\r\n")?;
        let mut said = String::new();
        stream.take(1 << 10).read_to_string(&mut said)?;
        ensure!(said.starts_with("+OK\r\n+OK\r\n"), "Redis said {said:?}");
        Ok(())
    }
}

fn key_variable(key: &Key) -> (&'static str, String) {
    match key {
        Key::Secret(secret) => ("PEER_SECRET", secret.clone()),
        Key::Ed25519 { file, .. } => ("PEER_JWKS", file.with_file_name("jwks.json").display().to_string()),
    }
}

/// A topic as the service makes its own.
fn ensure_topic(stack: &Stack, topic: &str) -> anyhow::Result<()> {
    let mut kafka = Config::from_env().context("the service's defaults")?.kafka;
    kafka.kafka_server = stack.engines.kafka.bootstrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let deadline = tokio::time::Instant::now() + READY_WITHIN;
    Ok(runtime.block_on(weir::kafka::admin::ensure_topic(&kafka, topic, deadline))?)
}
