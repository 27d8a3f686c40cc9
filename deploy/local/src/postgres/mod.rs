//! A private Postgres. Invariant: its data directory is made once, whole, and found again by every later start.

mod cluster;
mod databases;
mod programs;
mod replica;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{Launch, Layout, Lifetime, Process, Result, ports, unprivileged, unprivileged::Account};

use databases::Passwords;

pub use databases::Login;
pub use programs::server_binaries;

/// Room for crash recovery on a busy machine.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(20);

/// One Postgres server with the three logins of the service.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    /// What the user of the server owns: data and socket.
    store: PathBuf,
    binaries: PathBuf,
    account: Option<Account>,
    port: u16,
    durable: bool,
    lifetime: Lifetime,
    passwords: Passwords,
}

impl Postgres {
    /// Starts the Postgres of a directory, or takes over the one that runs there, and waits until it answers. With
    /// `durable` Postgres waits for the disk, as in production; without it tests run faster.
    pub fn start_in(root: &Path, port: Option<u16>, durable: bool, lifetime: Lifetime) -> Result<Self> {
        let layout = Layout::new(root)?;
        let binaries = server_binaries()?;
        let account = unprivileged::account()?;
        let dir = layout.engine("pg")?;
        let passwords = Passwords::kept_in(&dir)?;
        let process = Process::new(&layout, "postgres")?;
        let port = ports::claim(&layout, "postgres", port, process.is_running())?;
        let store = cluster::store(&dir, account)?;
        let postgres = Self { process, store, binaries, account, port, durable, lifetime, passwords };
        postgres.create_cluster()?;
        if postgres.is_running() && postgres.wait_ready(Duration::from_secs(10)).is_err() {
            postgres.kill()?;
        }
        postgres.start()?;
        postgres.create_logins()?;
        Ok(postgres)
    }

    /// Starts it again with the same port and data, and waits until it answers.
    pub fn start(&self) -> Result<()> {
        if !self.is_running() {
            self.remove_stale_locks()?;
        }
        let data = self.data();
        let mut launch = Launch::new(self.binaries.join("postgres"), data.clone(), self.lifetime)
            .args(["-D".into(), data.into_os_string()])
            .args(["-p".to_owned(), self.port.to_string()])
            .args(self.settings().iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]));
        launch.account = self.account;
        self.process.start_engine(&launch)?;
        self.wait_ready(START)
    }

    /// Ends it in order: sessions are broken off, everything is written down.
    pub fn stop(&self) -> Result<()> {
        self.process.stop(Signal::SIGINT, STOP)
    }

    /// Ends it with all its backends as a crash would.
    pub fn kill(&self) -> Result<()> {
        self.process.kill()
    }

    /// Freezes it with all its backends.
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

    /// The postmaster's process number.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its data are: not below the given directory when its user cannot get there.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.store.join("data")
    }

    /// Waits until it answers a query.
    pub fn wait_ready(&self, deadline: Duration) -> Result<()> {
        self.process.wait_ready(deadline, || self.query("postgres", "SELECT 1", Duration::from_secs(3)).is_ok())
    }
}
