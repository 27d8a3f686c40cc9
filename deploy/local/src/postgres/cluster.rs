//! The data directory: where it may be, how it is made, with which settings it runs. Invariant: a half-made one is never
//! used, because it gets its name only when complete.

use std::{
    env, fs,
    io::ErrorKind,
    os::unix::fs::{MetadataExt, chown, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Postgres, databases::SUPERUSER};
use crate::{Error, Result, command, files, proc_table::Identity, unprivileged::Account};

/// The kernel's limit for the path of a socket, without its closing zero.
const SOCKET_PATH_MAX: usize = 107;

/// The directory that the server's user owns. It is `store` in the engine's directory; where that user cannot get there
/// (a checkout below /root), `store` is a link to a directory that it can reach.
pub(super) fn store(dir: &Path, account: Option<Account>) -> Result<PathBuf> {
    let link = dir.join("store");
    let Some(account) = account else {
        files::create_dir(&link, 0o700)?;
        return Ok(link);
    };
    if account.can_enter(dir) {
        files::create_dir(&link, 0o700)?;
        // Fails where the link is left from a time when the way was barred and its target is gone.
        chown(&link, Some(account.uid), Some(account.gid)).map_err(Error::io(format!("chown {}", link.display())))?;
        return Ok(link);
    }
    let base = env::var_os("TMPDIR").map(PathBuf::from).filter(|base| account.can_enter(base));
    let key = files::fingerprint(&dir.to_string_lossy());
    let target = base.unwrap_or_else(|| PathBuf::from("/var/tmp")).join(format!("weir-pg-{key}"));
    own(&target, account)?;
    match symlink(&target, &link) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(Error::io(format!("link {}", link.display()))(error))
        }
        // The path itself, not the link: the server's user cannot follow a link it cannot reach.
        _ => Ok(target),
    }
}

/// Takes a directory of a predictable name in a public place, unless somebody else was there first.
fn own(target: &Path, account: Account) -> Result<()> {
    let action = format!("create {}", target.display());
    match fs::create_dir(target) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Error::io(action)(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(target).map_err(Error::io(action.clone()))?;
    if !found.is_dir() || ![0, account.uid].contains(&found.uid()) {
        return Err(Error::ForeignDirectory(target.display().to_string()));
    }
    fs::set_permissions(target, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .and_then(|()| chown(target, Some(account.uid), Some(account.gid)))
        .map_err(Error::io(action))
}

impl Postgres {
    /// Makes the data directory on the first start.
    pub(super) fn create_cluster(&self) -> Result<()> {
        let data = self.data();
        if data.join("PG_VERSION").is_file() {
            return Ok(());
        }
        let fresh = self.store.join("data.new");
        files::remove(&fresh)?;
        let password_file = self.store.join("initdb.password");
        files::write_private(&password_file, self.passwords.of(SUPERUSER).unwrap_or_default())?;
        if let Some(account) = self.account {
            chown(&password_file, Some(account.uid), Some(account.gid))
                .map_err(Error::io("chown the password file"))?;
        }
        let mut initdb = Account::command(self.account, &self.binaries.join("initdb"));
        initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]);
        initdb.arg("--no-instructions").args((!self.durable).then_some("--no-sync"));
        initdb.arg(format!("--pwfile={}", password_file.display())).arg("-D").arg(&fresh);
        let made = command::run(&mut initdb, "", Duration::from_secs(60));
        fs::remove_file(&password_file).map_err(Error::io("remove the password file"))?;
        made?;
        fs::rename(&fresh, &data).map_err(Error::io(format!("rename {}", fresh.display())))
    }

    /// What differs from the defaults of Postgres.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("unix_socket_directories", self.socket_directory()),
            ("max_connections", "200".to_owned()),
            ("shared_buffers", "128MB".to_owned()),
            ("synchronous_commit", "on".to_owned()),
        ];
        if !self.durable {
            settings.extend([("fsync", "off".to_owned()), ("full_page_writes", "off".to_owned())]);
        }
        settings
    }

    fn socket_directory(&self) -> String {
        let socket = self.store.join(format!(".s.PGSQL.{}", self.port));
        if socket.as_os_str().len() > SOCKET_PATH_MAX { String::new() } else { self.store.display().to_string() }
    }

    /// Removes the lock files of a crashed postmaster whose number is taken, be it by another process or by its own
    /// remains that nobody has reaped: Postgres would believe that it still runs.
    pub(super) fn remove_stale_locks(&self) -> Result<()> {
        let data = fs::canonicalize(self.data()).map_err(Error::io("find the data directory"))?;
        let socket = self.store.join(format!(".s.PGSQL.{}.lock", self.port));
        for lock in [data.join("postmaster.pid"), socket] {
            let Some(text) = files::read(&lock)? else { continue };
            let pid = text.lines().next().and_then(|pid| pid.trim().parse().ok());
            let owner = pid.and_then(Identity::of);
            let works_here = owner.is_some_and(|owner| {
                fs::read_link(format!("/proc/{}/cwd", owner.pid)).is_ok_and(|directory| directory == data)
            });
            if !works_here {
                files::remove(&lock)?;
            }
        }
        Ok(())
    }
}
