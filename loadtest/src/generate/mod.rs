//! The generator: offers load by a time table and notes everything. Steps: sign tokens → open the journal → let every sender
//! take requests until the table ends → report. Invariant: the offered rate never depends on the answers.

mod accounts;
mod answer;
mod client;
#[cfg(test)]
mod fixture;
mod pace;
mod payload;
mod report;
mod sender;
mod tally;
mod token;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir::domain::time::Timestamp;

pub use accounts::{Accounts, Mix, scramble};
pub use client::{Answer, Client, Lost};
pub use pace::{Pace, Profile, Schedule};
pub use payload::event_text;
pub use report::Report;
pub use tally::{Latency, Outcomes, Percentiles, Tally};
pub use token::{Key, Signer};

use crate::journal::{Header, Journal, account_name};
use payload::Payload;
use sender::{Sender, Shared};

impl Lost {
    /// The word of journal and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Garbled => "garbled",
        }
    }

    /// Reads [`Lost::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Refused, Self::Reset, Self::Timeout, Self::Garbled].into_iter().find(|lost| lost.as_str() == text)
    }
}

/// What to send, to whom, how fast.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The service.
    pub peer: SocketAddr,
    /// The time table.
    pub pace: Pace,
    /// Spread over accounts.
    pub mix: Mix,
    /// Number of accounts.
    pub accounts: usize,
    /// Events of a batch; singles when absent.
    pub batch: Option<u32>,
    /// Most requests in the air.
    pub connections: usize,
    /// Tries after the first, with the same event ids.
    pub retries: u32,
    /// How long a try may take: above the service's own deadline, so that a broken deadline shows.
    pub timeout: Duration,
    /// Where to note everything; a run that measures cost alone notes nothing.
    pub journal: Option<PathBuf>,
}

impl Plan {
    /// Whether account 0 is a whale whose latency is kept apart.
    pub fn has_whale(&self) -> bool {
        self.mix == Mix::Whale && self.accounts > 1
    }

    fn path(&self) -> &'static str {
        if self.batch.is_some() { "/v1/events/batch" } else { "/v1/events" }
    }
}

/// What a running generator has done so far.
#[derive(Debug, Default)]
pub struct Progress {
    /// Events sent, retries included.
    pub sent: AtomicU64,
    /// Events accepted.
    pub accepted: AtomicU64,
}

/// A generator at work on a thread of its own, so that blocking work elsewhere never delays it.
#[derive(Debug)]
pub struct Running {
    run: String,
    stop: CancellationToken,
    progress: Arc<Progress>,
    thread: JoinHandle<anyhow::Result<Report>>,
}

impl Running {
    /// Unique name of the run, first part of its event ids.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Events accepted so far.
    pub fn accepted(&self) -> u64 {
        self.progress.accepted.load(Ordering::Relaxed)
    }

    /// Waits for the end of the time table.
    ///
    /// # Errors
    /// What ended the run early: the journal could not be written.
    pub fn join(self) -> anyhow::Result<Report> {
        self.thread.join().map_err(|_| anyhow!("the generator panicked"))?
    }

    /// Ends the run after the requests in the air.
    ///
    /// # Errors
    /// See [`Running::join`].
    pub fn finish(self) -> anyhow::Result<Report> {
        self.stop.cancel();
        self.join()
    }
}

/// Starts a generator for accounts that nobody else has.
///
/// # Errors
/// When tokens cannot be signed, the journal cannot be opened or no thread can be had.
pub fn start(plan: Plan, signer: &Signer) -> anyhow::Result<Running> {
    let run = format!("lt{}", crate::scratch::unique());
    let accounts = format!("{run}-");
    begin(plan, signer, run, accounts)
}

/// Starts a generator for the accounts whose names [`account_name`] makes of that prefix: the same in every run.
///
/// # Errors
/// See [`start`].
pub fn start_as(prefix: &str, plan: Plan, signer: &Signer) -> anyhow::Result<Running> {
    begin(plan, signer, format!("lt{}", crate::scratch::unique()), prefix.to_owned())
}

fn begin(plan: Plan, signer: &Signer, run: String, account_prefix: String) -> anyhow::Result<Running> {
    let accounts = Accounts::new(plan.mix, plan.accounts);
    let count = u32::try_from(accounts.count()).context("too many accounts")?;
    let host = plan.peer.to_string();
    let mut heads = Vec::with_capacity(accounts.count());
    for index in 0..count {
        let token = signer.token(&account_name(&account_prefix, index))?;
        heads.push(Payload::head(plan.path(), &host, &token));
    }
    let start_micros = Timestamp::now().micros();
    let start = tokio::time::Instant::now();
    let header = Header { run: run.clone(), start_micros, account_prefix, accounts: count };
    let journal = match &plan.journal {
        Some(path) => Journal::open(path, &header, start.into_std())
            .with_context(|| format!("opening the journal {}", path.display()))?,
        None => Journal::none(start.into_std()),
    };
    let (stop, progress) = (CancellationToken::new(), Arc::new(Progress::default()));
    let shared = Arc::new(Shared {
        plan,
        accounts,
        heads,
        run: run.clone(),
        start_micros,
        journal,
        start,
        next: AtomicU64::new(0),
        stop: stop.clone(),
        progress: progress.clone(),
        tally: Mutex::default(),
    });
    let thread = std::thread::Builder::new().name("generator".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(drive(shared))
    })?;
    Ok(Running { run, stop, progress, thread })
}

async fn drive(shared: Arc<Shared>) -> anyhow::Result<Report> {
    let mut senders = JoinSet::new();
    for _ in 0..shared.plan.connections.max(1) {
        senders.spawn(Sender::new(shared.clone()).run());
    }
    while let Some(sender) = senders.join_next().await {
        sender.context("a sender panicked")?.context("writing the journal")?;
    }
    let tally = shared.tally.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Report::new(&shared.run, &shared.plan, &tally, shared.start.elapsed()))
}

#[cfg(test)]
mod tests;
