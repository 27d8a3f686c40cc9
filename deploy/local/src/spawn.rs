//! How a process is started. Invariant: one thread of this library, which lives as long as the process, starts them all.
//!
//! The kernel's "kill me when my parent dies" is bound to the parent *thread*: an engine started by a test's own
//! thread would die with that test. It is asked for by `setpriv`, which sets it after the change of user that clears it.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
};

use crate::unprivileged::Account;

/// How long a process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lifetime {
    /// It dies with the process that started it, even if that is killed: for tests and benches.
    #[default]
    WithParent,
    /// It stays until it is stopped: for `make up`.
    Detached,
}

/// Everything about a process before it runs.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables set for it.
    pub env: Vec<(String, String)>,
    /// Variables it must not inherit.
    pub without_env: Vec<String>,
    /// Where it runs.
    pub cwd: PathBuf,
    /// How long it lives.
    pub lifetime: Lifetime,
    pub(crate) account: Option<Account>,
}

impl Launch {
    /// A program to run in a directory.
    #[must_use]
    pub fn new(program: PathBuf, cwd: PathBuf, lifetime: Lifetime) -> Self {
        Self { program, cwd, lifetime, args: Vec::new(), env: Vec::new(), without_env: Vec::new(), account: None }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The words in front of the program: each execs the next, so the number of the process stays the same.
    fn wrappers(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.lifetime == Lifetime::Detached {
            words.push("setsid".to_owned());
        }
        let mut setpriv = self.account.map(Account::setpriv_options).unwrap_or_default();
        if self.lifetime == Lifetime::WithParent {
            setpriv.push("--pdeathsig=KILL".to_owned());
        }
        if !setpriv.is_empty() {
            words.push("setpriv".to_owned());
            words.append(&mut setpriv);
            words.push("--".to_owned());
        }
        words
    }

    fn command(&self, log: &File) -> io::Result<Command> {
        let mut words = self.wrappers().into_iter().map(OsString::from).chain([self.program.clone().into()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(&self.args).current_dir(&self.cwd).envs(self.env.iter().cloned());
        for name in &self.without_env {
            command.env_remove(name);
        }
        if self.lifetime == Lifetime::WithParent {
            // Out of reach of Ctrl-C in the terminal of the tests. `setsid` does as much for a detached one, and would
            // fork if it found itself at the head of a group.
            command.process_group(0);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        Ok(command)
    }
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);
static SUPERVISOR: OnceLock<mpsc::Sender<Order>> = OnceLock::new();

/// Starts a process whose output goes to `log`.
pub(crate) fn spawn(launch: &Launch, log: &File) -> io::Result<Child> {
    let supervisor = SUPERVISOR.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                drop(reply.send(command.spawn()));
            }
        });
        orders
    });
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    supervisor.send((launch.command(log)?, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(lifetime: Lifetime, account: Option<Account>) -> Launch {
        Launch { account, ..Launch::new("/bin/true".into(), "/".into(), lifetime) }
    }

    #[test]
    fn the_death_signal_is_asked_for_in_the_same_step_as_the_user() {
        let account = Some(Account { uid: 101, gid: 104 });
        let words = launch(Lifetime::WithParent, account).wrappers().join(" ");
        assert_eq!(words, "setpriv --reuid=101 --regid=104 --clear-groups --pdeathsig=KILL --");
    }

    #[test]
    fn a_detached_process_leaves_the_session() {
        assert_eq!(launch(Lifetime::Detached, None).wrappers(), ["setsid"]);
    }
}
