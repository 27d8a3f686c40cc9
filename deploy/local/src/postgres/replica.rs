//! A streaming replica. Invariant: it is a copy of its primary by Postgres's own tools, so reads from it are what production
//! would give.

use std::{fs, path::Path, time::Duration};

use super::{Postgres, cluster, databases::SUPERUSER};
use crate::{Error, Layout, Lifetime, Process, Result, command, ports, unprivileged::Account};

/// Room for the copy of a small database on a busy machine.
const COPY: Duration = Duration::from_secs(60);

impl Postgres {
    /// Starts a replica of this server in a directory of its own and waits until it answers.
    pub fn replica_in(&self, root: &Path, lifetime: Lifetime) -> Result<Self> {
        let layout = Layout::new(root)?;
        let dir = layout.engine("pg")?;
        let process = Process::new(&layout, "postgres")?;
        let port = ports::claim(&layout, "postgres", None, process.is_running())?;
        let replica = Self {
            process,
            store: cluster::store(&dir, self.account)?,
            binaries: self.binaries.clone(),
            account: self.account,
            port,
            durable: self.durable,
            lifetime,
            passwords: self.passwords.clone(),
        };
        replica.copy_of(self)?;
        replica.start()?;
        Ok(replica)
    }

    fn copy_of(&self, primary: &Self) -> Result<()> {
        let data = self.data();
        if data.join("PG_VERSION").is_file() {
            return Ok(());
        }
        let fresh = self.store.join("data.new");
        let mut copy = Account::command(self.account, &self.binaries.join("pg_basebackup"));
        copy.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-password"])
            .args(["--host=127.0.0.1", &format!("--username={SUPERUSER}"), &format!("--port={}", primary.port)])
            .arg("-D")
            .arg(&fresh)
            .env("PGPASSWORD", self.passwords.of(SUPERUSER).unwrap_or_default());
        command::run(&mut copy, "", COPY)?;
        fs::rename(&fresh, &data).map_err(Error::io(format!("rename {}", fresh.display())))
    }
}
