//! What a process does.

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
}
