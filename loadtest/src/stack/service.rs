//! One process of the service under test. Invariant: it is the real binary, started as an operator would, and only its own
//! process is ever signalled.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use weir_local::{Launch, Layout, Lifetime, Process};

/// How long a start may take: connecting to three engines on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The end of a process that did what it should.
pub const WELL: &str = "exit status: 0";

/// A role of `weir`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Takes events.
    Api,
    /// Stores them.
    Worker,
}

impl Role {
    /// The subcommand.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }
}

/// A process of the service.
#[derive(Debug)]
pub struct Service {
    process: Process,
    launch: Launch,
    management: SocketAddr,
}

impl Service {
    /// Knows how to run a role; `name` tells several of one role apart.
    ///
    /// # Errors
    /// When its directory cannot be made or no port is free.
    pub fn new(layout: &Layout, weir: &Path, role: Role, name: &str) -> anyhow::Result<Self> {
        let port = weir_local::claim_port(layout, &format!("{name}-management"), None, false)?;
        let management = SocketAddr::from(([127, 0, 0, 1], port));
        let mut launch =
            Launch::new(weir.to_owned(), layout.root().to_owned(), Lifetime::WithParent).args([role.as_str()]);
        launch.env.push(("WEIR_MANAGEMENT_LISTEN".into(), management.to_string()));
        Ok(Self { process: Process::new(layout, name)?, launch, management })
    }

    /// Sets variables for the next start.
    pub fn set<'a>(&mut self, variables: impl IntoIterator<Item = (&'a str, String)>) {
        for (name, value) in variables {
            self.unset(name);
            self.launch.env.push((name.to_owned(), value));
        }
    }

    /// Takes a variable away for the next start.
    pub fn unset(&mut self, name: &str) {
        self.launch.env.retain(|(known, _)| known != name);
    }

    /// Runs another binary from the next start on.
    pub fn set_program(&mut self, weir: &Path) {
        weir.clone_into(&mut self.launch.program);
    }

    /// Puts words in front of its program for every start: each must exec the next, so that the process stays the same.
    pub fn wrap(&mut self, words: &[&str]) {
        let program = std::mem::replace(&mut self.launch.program, words[0].into());
        let words = words[1..].iter().map(Into::into).chain([program.into_os_string()]);
        self.launch.args.splice(..0, words);
    }

    /// Starts it without waiting.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self) -> anyhow::Result<()> {
        Ok(self.process.start(&self.launch)?)
    }

    /// Waits until it says it is ready.
    ///
    /// # Errors
    /// When it ends or does not get ready; the end of its log is in the text.
    pub fn wait_ready(&self) -> anyhow::Result<()> {
        Ok(self.process.wait_ready(READY_WITHIN, || self.is_ready())?)
    }

    /// Whether it says it is ready.
    pub fn is_ready(&self) -> bool {
        get(self.management, "/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Its metrics in Prometheus text.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics(&self) -> anyhow::Result<String> {
        get(self.management, "/metrics").with_context(|| format!("metrics at {}", self.management))
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it survives.
    pub fn kill(&self) -> anyhow::Result<()> {
        Ok(self.process.kill()?)
    }

    /// SIGTERM, then SIGKILL after half a minute.
    ///
    /// # Errors
    /// When it survives both.
    pub fn stop(&self) -> anyhow::Result<()> {
        Ok(self.process.stop(Signal::SIGTERM, Duration::from_secs(30))?)
    }

    /// Sends SIGTERM and returns.
    pub fn terminate(&self) {
        self.process.signal(Signal::SIGTERM);
    }

    /// How it ended, in words: `exit status: 0` when all went well; `None` while it runs.
    pub fn ended(&self) -> Option<String> {
        self.process.exit_status().map(|status| status.to_string())
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Whether it exists.
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Its number.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        format!("{}", self.process.log_tail())
    }
}

/// A GET without a library: head and body of the answer, at most a megabyte, within two seconds.
fn get(peer: SocketAddr, path: &str) -> std::io::Result<String> {
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&peer, patience)?;
    stream.set_read_timeout(Some(patience))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {peer}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(1 << 20).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
