//! What accounts may do, as operators keep it:
//!
//! 1. [`desk`]: an operator reads and changes a quota, and finds who changed what;
//! 2. [`follow`]: every instance comes to hold it within two seconds, by a word through Redis or by looking each second;
//! 3. [`usage`]: what accounts use goes to Postgres by minute, and is shown ([`used`]);
//! 4. [`trial`]: a quota is tried on it before it is set;
//! 5. [`fairness`]: what became of everybody's share, in numbers.
//!
//! Invariant: nothing here is needed to take an event: while Postgres is away the quotas last known hold, and before the first answer the
//! defaults.

mod desk;
mod fairness;
mod follow;
mod metrics;
mod trial;
mod usage;
mod used;

pub use desk::{AuditPage, OverridePage, QuotaDesk, Standing};
pub use fairness::{FairShare, Fairness, FairnessDesk};
pub use follow::{CHANNEL, Follower};
pub use trial::{Refused, Trial};
pub use usage::{RollUp, Teller};
pub use used::{MAX_MINUTES, Tried};

pub use crate::operators::{Author, OperatorError};
pub use crate::store::{
    AuditFilter, AuditRow, MAX_OVERRIDES, MAX_QUOTAS, OverrideRow, QuotaAct, QuotaChange, QuotaChanged,
};
