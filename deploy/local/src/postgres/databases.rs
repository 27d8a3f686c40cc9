//! Logins, databases and SQL. Invariant: no password is ever an argument of a program, where `ps` would show it.

use std::{fmt, path::Path, process::Command, time::Duration};

use super::Postgres;
use crate::{Error, Result, command, files};

/// The script that makes the logins; Docker's entry point runs the same one.
const LOGINS: &str = include_str!("../../../postgres/logins.sql");

/// Room for a whole test fixture or a forced drop.
const SQL: Duration = Duration::from_secs(60);

pub(super) const SUPERUSER: &str = "postgres";

/// The passwords of one server, each in a private file of its directory.
#[derive(Clone)]
pub(super) struct Passwords(Vec<(&'static str, String)>);

impl Passwords {
    pub(super) fn kept_in(dir: &Path) -> Result<Self> {
        let users = Login::ALL.map(Login::name).into_iter().chain([SUPERUSER]);
        let read = |user| Ok((user, files::secret(&dir.join(format!("{user}.password")))?));
        Ok(Self(users.map(read).collect::<Result<_>>()?))
    }

    pub(super) fn of(&self, user: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == user).map(|(_, password)| password.as_str())
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(…)")
    }
}

/// A login of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Owns the databases and their tables.
    Migrate,
    /// Serves HTTP, under row-level security.
    Api,
    /// Writes for all accounts, past row-level security.
    Worker,
}

impl Login {
    const ALL: [Self; 3] = [Self::Migrate, Self::Api, Self::Worker];

    /// Its name in Postgres.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Migrate => "weir_migrate",
            Self::Api => "weir_api",
            Self::Worker => "weir_worker",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Migrate => "WEIR_MIGRATE_PASSWORD",
            Self::Api => "WEIR_API_PASSWORD",
            Self::Worker => "WEIR_WORKER_PASSWORD",
        }
    }
}

impl Postgres {
    /// The URL of a database for one of the service's logins.
    #[must_use]
    pub fn login(&self, login: Login, database: &str) -> String {
        self.url(login.name(), database)
    }

    /// The URL of a database for the superuser.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        self.url(SUPERUSER, database)
    }

    /// The URL of a database for any user; it holds the password where that is kept here.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        let password = self.passwords.of(user).map(|password| format!(":{password}")).unwrap_or_default();
        format!("postgres://{user}{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Creates a database that `weir_migrate` owns.
    pub fn create_database(&self, name: &str) -> Result<()> {
        self.create_database_from("template1", name)
    }

    /// Copies a database; nobody may be connected to the template.
    pub fn create_database_from(&self, template: &str, name: &str) -> Result<()> {
        let (template, name) = (checked(template)?, checked(name)?);
        let owner = Login::Migrate.name();
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template} OWNER {owner}")).map(drop)
    }

    /// Creates a database unless it is there.
    pub fn ensure_database(&self, name: &str) -> Result<()> {
        let found =
            self.psql("postgres", &format!("SELECT 1 FROM pg_database WHERE datname = '{}'", checked(name)?))?;
        if found.trim().is_empty() { self.create_database(name) } else { Ok(()) }
    }

    /// Drops a database, breaking off whoever is connected; an absent one is fine.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        self.psql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", checked(name)?)).map(drop)
    }

    /// Runs SQL as the superuser and returns the rows, columns parted by `|`, without headings.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        self.query(database, sql, SQL)
    }

    pub(super) fn query(&self, database: &str, sql: &str, deadline: Duration) -> Result<String> {
        command::run(&mut self.psql_command(database), sql, deadline)
    }

    pub(super) fn create_logins(&self) -> Result<()> {
        let mut psql = self.psql_command("postgres");
        for login in Login::ALL {
            psql.env(login.variable(), self.passwords.of(login.name()).unwrap_or_default());
        }
        command::run(&mut psql, LOGINS, SQL).map(drop)
    }

    fn psql_command(&self, database: &str) -> Command {
        let mut psql = Command::new(self.binaries.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password"])
            .args(["--set=ON_ERROR_STOP=1", "--host=127.0.0.1", "--username=postgres"])
            .args([format!("--port={}", self.port), format!("--dbname={database}")])
            .env("PGPASSWORD", self.passwords.of(SUPERUSER).unwrap_or_default())
            .env("PGCONNECT_TIMEOUT", "5");
        for inherited in ["PGOPTIONS", "PGSERVICE", "PGSSLMODE", "PGHOSTADDR"] {
            psql.env_remove(inherited);
        }
        psql
    }
}

fn checked(name: &str) -> Result<&str> {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let starts_well = name.starts_with(|first: char| !first.is_ascii_digit());
    if plain && starts_well && name.len() <= 63 { Ok(name) } else { Err(Error::DatabaseName(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_reach_sql() {
        assert!(checked("weir_test_1").is_ok());
        for name in ["", "1a", "Weir", "a-b", "a\"; DROP", &"x".repeat(64)] {
            assert!(checked(name).is_err(), "{name}");
        }
    }
}
