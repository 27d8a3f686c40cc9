//! The user Postgres runs as. Invariant: never root, because Postgres refuses it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::unistd::{User, geteuid};

use crate::{Error, Result};

/// A user to become before a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
}

impl Account {
    /// The options of `setpriv` that turn root into this user.
    #[must_use]
    pub fn setpriv_options(self) -> Vec<String> {
        vec![format!("--reuid={}", self.uid), format!("--regid={}", self.gid), "--clear-groups".to_owned()]
    }

    /// A command run as this user, or as ourselves where nobody need be become.
    #[must_use]
    pub fn command(account: Option<Self>, program: &Path) -> Command {
        let Some(account) = account else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        command.args(account.setpriv_options()).arg("--").arg(program).current_dir("/");
        command
    }

    /// Whether this user may pass through every directory down to `dir`. Asked of the kernel: modes alone do not tell
    /// about access lists and mounts.
    #[must_use]
    pub fn can_enter(self, dir: &Path) -> bool {
        Self::command(Some(self), &PathBuf::from("test"))
            .arg("-x")
            .arg(dir)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// Whom to become: nobody special unless we are root, then `postgres` where there is one, else `nobody`.
pub fn account() -> Result<Option<Account>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        let found = User::from_name(name).map_err(|errno| Error::io("read the user table")(errno.into()))?;
        if let Some(user) = found.filter(|user| !user.uid.is_root()) {
            return Ok(Some(Account { uid: user.uid.as_raw(), gid: user.gid.as_raw() }));
        }
    }
    Err(Error::Missing { program: "a user for Postgres", hint: "useradd --system postgres" })
}
