//! One long-running process with its process file and log. Invariant: a signal goes only to the very process that was
//! started here, by us or by an earlier run; never to a stranger that got its number.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{
    Error, Launch, Layout, Lifetime, LogTail, Result, files, proc_table, proc_table::Identity, spawn, wait::poll,
};

/// Longer than the kernel ever needs to take down a killed process with its memory.
pub(crate) const KILLED_BY: Duration = Duration::from_secs(20);

/// A process that can be started, stopped, killed, paused and started again.
#[derive(Debug)]
pub struct Process {
    name: String,
    file: PathBuf,
    log: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Kept to reap it; absent when an earlier run started the process.
    child: Option<Child>,
    identity: Option<Identity>,
    /// How the last child ended.
    ended: Option<ExitStatus>,
    dies_with_us: bool,
}

impl Process {
    /// Knows the process by its file: one that still runs from an earlier time is taken over.
    pub fn new(layout: &Layout, name: &str) -> Result<Self> {
        let file = layout.process_file(name);
        let kept: Option<Identity> = files::read(&file)?.and_then(|text| text.parse().ok());
        let state = State { identity: kept.filter(|identity| identity.is_alive()), ..State::default() };
        Ok(Self { name: name.to_owned(), file, log: layout.log_file(name), state: Mutex::new(state) })
    }

    /// Starts an engine, unless it runs already. What a crash left in the engine's own directory is killed first.
    pub(crate) fn start_engine(&self, launch: &Launch) -> Result<()> {
        if !self.is_running() {
            self.end(proc_table::engines_below(&launch.cwd))?;
        }
        self.start(launch)
    }

    /// Starts it, unless it runs already.
    pub fn start(&self, launch: &Launch) -> Result<()> {
        let mut state = self.lock();
        if state.alive().is_some() {
            return Ok(());
        }
        match fs::rename(&self.log, self.log.with_extension("log.old")) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io(format!("rotate {}", self.log.display()))(error));
            }
            _ => {}
        }
        let log = fs::File::create(&self.log).map_err(Error::io(format!("create {}", self.log.display())))?;
        let child = spawn::spawn(launch, &log).map_err(Error::io(format!(
            "start {} for {}",
            launch.program.display(),
            self.name
        )))?;
        state.identity = Identity::of(child.id());
        state.ended = None;
        state.child = Some(child);
        state.dies_with_us = launch.lifetime == Lifetime::WithParent;
        match state.identity {
            Some(identity) => files::write_public(&self.file, &identity.to_string()),
            None => Err(self.not_running()),
        }
    }

    /// Asks it to end; kills it when it has not by the deadline.
    pub fn stop(&self, signal: Signal, deadline: Duration) -> Result<()> {
        let identity = self.lock().alive();
        if let Some(identity) = identity {
            identity.signal(signal);
            // A paused process takes no signal but this one.
            self.resume();
            if poll(deadline, || (!self.is_running()).then_some(())).is_none() {
                return self.kill();
            }
        }
        self.forget()
    }

    /// Kills it with its children, as a crash would; returns when all are gone.
    pub fn kill(&self) -> Result<()> {
        let identity = self.lock().alive();
        if let Some(identity) = identity {
            // Stopped first, or it could start a child between the look at the table and the kill.
            identity.signal(Signal::SIGSTOP);
            let mut family = identity.descendants();
            family.insert(0, identity);
            self.end(family)?;
        }
        self.forget()
    }

    /// Freezes it with its children: connections stay open, nothing answers.
    pub fn pause(&self) {
        let identity = self.lock().alive();
        if let Some(identity) = identity {
            identity.signal(Signal::SIGSTOP);
            identity.descendants().into_iter().for_each(|child| child.signal(Signal::SIGSTOP));
        }
    }

    /// Undoes [`Process::pause`].
    pub fn resume(&self) {
        let identity = self.lock().alive();
        if let Some(identity) = identity {
            identity.descendants().into_iter().for_each(|child| child.signal(Signal::SIGCONT));
            identity.signal(Signal::SIGCONT);
        }
    }

    /// Whether it exists, paused or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.lock().alive().is_some()
    }

    /// How it ended, if it was started here and has ended since.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        let mut state = self.lock();
        if state.alive().is_some() {
            return None;
        }
        // One whose threads still end is gone from the table of the living before it can be reaped.
        if let Some(mut child) = state.child.take() {
            state.ended = child.wait().ok();
        }
        state.ended
    }

    /// Sends it a signal and does not wait for what comes of it.
    pub fn signal(&self, signal: Signal) {
        if let Some(identity) = self.lock().alive() {
            identity.signal(signal);
        }
    }

    /// Its number while it exists.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.lock().alive().map(|identity| identity.pid)
    }

    /// Waits until `ready` says so; fails at once when the process is gone.
    pub fn wait_ready(&self, deadline: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let answer = poll(deadline, || {
            if !self.is_running() {
                return Some(Err(self.not_running()));
            }
            ready().then_some(Ok(()))
        });
        answer.unwrap_or_else(|| {
            Err(Error::NotReady { engine: self.name.clone(), waited: deadline, tail: self.log_tail() })
        })
    }

    /// The end of what it printed.
    #[must_use]
    pub fn log_tail(&self) -> LogTail {
        LogTail::of_file(&self.log)
    }

    /// Where it prints to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    fn not_running(&self) -> Error {
        Error::NotRunning { engine: self.name.clone(), tail: self.log_tail() }
    }

    fn end(&self, family: Vec<Identity>) -> Result<()> {
        family.iter().for_each(|member| member.signal(Signal::SIGKILL));
        let gone = poll(KILLED_BY, || (!family.iter().any(|member| member.is_alive())).then_some(()));
        gone.ok_or_else(|| Error::NotReady {
            engine: format!("the killed {}", self.name),
            waited: KILLED_BY,
            tail: LogTail::default(),
        })
    }

    fn forget(&self) -> Result<()> {
        let mut state = self.lock();
        if let Some(mut child) = state.child.take() {
            state.ended = child.wait().ok();
        }
        state.identity = None;
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::io(format!("remove {}", self.file.display()))(error))
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn alive(&mut self) -> Option<Identity> {
        // Reaps the child, or it would stay in the table as a zombie.
        if let Some(child) = &mut self.child {
            let ended = child.try_wait();
            if !matches!(ended, Ok(None)) {
                self.ended = ended.ok().flatten();
                self.child = None;
                self.identity = None;
            }
        }
        self.identity.filter(|identity| identity.is_alive())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lock().dies_with_us {
            drop(self.kill());
        }
    }
}
