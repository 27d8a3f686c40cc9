//! A private Redis. Invariant: nothing is ever saved, so a restart begins empty, as the service must be able to bear.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{Error, Launch, Layout, Lifetime, Process, Result, files, ports};

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(5);

/// One Redis server.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    dir: PathBuf,
    program: PathBuf,
    port: u16,
    more: Vec<String>,
    lifetime: Lifetime,
}

impl Redis {
    /// Starts the Redis of a directory, or takes over the one that runs there, and waits until it answers.
    pub fn start_in(root: &Path, port: Option<u16>, lifetime: Lifetime) -> Result<Self> {
        Self::start_as(root, "redis", (port, lifetime), Vec::new())
    }

    /// The same under a name of its own, with more arguments.
    pub(crate) fn start_as(
        root: &Path,
        name: &str,
        (port, lifetime): (Option<u16>, Lifetime),
        more: Vec<String>,
    ) -> Result<Self> {
        let layout = Layout::new(root)?;
        let program = program()?;
        let process = Process::new(&layout, name)?;
        let port = ports::claim(&layout, name, port, process.is_running())?;
        let redis = Self { process, dir: layout.engine(name)?, program, port, more, lifetime };
        if redis.is_running() && redis.wait_ready(Duration::from_secs(5)).is_err() {
            redis.kill()?;
        }
        redis.start()?;
        Ok(redis)
    }

    /// Starts it again on the same port, empty, and waits until it answers.
    pub fn start(&self) -> Result<()> {
        let port = self.port.to_string();
        let launch = Launch::new(self.program.clone(), self.dir.clone(), self.lifetime)
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--maxmemory-policy", "noeviction", "--daemonize", "no"])
            .args(&self.more);
        self.process.start_engine(&launch)?;
        self.wait_ready(START)
    }

    /// Forgets everything it holds.
    pub fn flush(&self) -> Result<()> {
        let answer = ask(self.port, "FLUSHALL").filter(|answer| answer.starts_with("+OK"));
        answer.map(drop).ok_or_else(|| Error::NotReady {
            engine: "redis asked for FLUSHALL".to_owned(),
            waited: Duration::from_millis(500),
            tail: self.process.log_tail(),
        })
    }

    /// Ends it in order.
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
        self.port
    }

    /// What a client connects to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Waits until PING is answered.
    pub fn wait_ready(&self, deadline: Duration) -> Result<()> {
        self.process.wait_ready(deadline, || answers_ping(self.port).is_some())
    }
}

/// Where the program is.
pub(crate) fn program() -> Result<PathBuf> {
    files::find_program("redis-server")
        .ok_or(Error::Missing { program: "redis-server", hint: "apt-get install redis-server" })
}

pub(crate) fn answers_ping(port: u16) -> Option<()> {
    ask(port, "PING")?.starts_with("+PONG").then_some(())
}

/// What a server answers to one command, as it stands in the protocol.
pub(crate) fn ask(port: u16, command: &str) -> Option<String> {
    let limit = Duration::from_millis(500);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    // It closes the connection behind the answer. (Sentinels know no QUIT.)
    stream.shutdown(std::net::Shutdown::Write).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
