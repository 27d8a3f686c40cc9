//! What a process does. Invariant: a role is a constant of [`Roles`]; nothing else decides what is started.

use anyhow::Context as _;

use crate::config::{DatabaseConfig, Need, Secret};

/// The roles of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Serves tenants and operators.
    pub api: bool,
    /// Stores what the log holds.
    pub worker: bool,
}

impl Roles {
    /// HTTP only.
    pub const API: Self = Self { api: true, worker: false };
    /// Storing only.
    pub const WORKER: Self = Self { api: false, worker: true };
    /// Both.
    pub const ALL: Self = Self { api: true, worker: true };

    /// Name of the subcommand.
    pub fn name(self) -> &'static str {
        match (self.api, self.worker) {
            (true, true) => "all",
            (true, false) => "api",
            (false, true) => "worker",
            (false, false) => "none",
        }
    }

    /// What the configuration must hold for them.
    pub fn needs(self) -> &'static [Need] {
        match (self.api, self.worker) {
            (true, true) => &[Need::Api, Need::Worker],
            (true, false) => &[Need::Api],
            (false, true) => &[Need::Worker],
            (false, false) => &[],
        }
    }

    /// The login of what every process keeps in Postgres, whatever its roles: the API's where it has one.
    ///
    /// # Errors
    /// When that login is not configured.
    pub(super) fn database_url(self, config: &DatabaseConfig) -> anyhow::Result<&Secret> {
        let url = if self.api { &config.database_url } else { &config.database_worker_url };
        url.as_ref().context("a database URL must be set")
    }
}
