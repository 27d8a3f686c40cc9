//! What accounts may do, as operators keep it:
//!
//! 1. [`desk`]: an operator reads and changes a quota, and finds who changed what;
//! 2. [`follow`]: every instance comes to hold it within two seconds, by a word through Redis or by looking each second.
//!
//! Invariant: nothing here is needed to take an event: while Postgres is away the quotas last known hold, and before the first answer the
//! defaults.

mod desk;
mod follow;
mod metrics;

pub use desk::{AuditPage, OverridePage, QuotaDesk, Standing};
pub use follow::{CHANNEL, Follower};

pub use crate::operators::{Author, OperatorError};
pub use crate::store::{
    AuditFilter, AuditRow, MAX_OVERRIDES, MAX_QUOTAS, OverrideRow, QuotaAct, QuotaChange, QuotaChanged,
};
