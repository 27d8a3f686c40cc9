//! Postgres: where events come to rest and where every answer is counted. The only folder that knows SQL. Invariant: a
//! transaction either holds the events, the counts of exactly those events and the progress behind them, or nothing; and every
//! call ends within its deadline, whatever Postgres does.
//!
//! | step | file |
//! |---|---|
//! | make the schema | [`migrate`] |
//! | write a batch (worker) | [`worker_store`], `write/` |
//! | read one account (API) | [`api_store`], `read/` |
//! | choose the primary or a replica | `replica` |
//! | keep what operators decide (API) | [`operator_store`] |
//! | tell the lanes what is stored, keep who moved (API) | `lanes` |
//! | keep what accounts may do | `quotas/` |
//! | sum up levels of service, keep incidents | `sli/` |
//! | hold connections to their deadlines | `lease` |
//! | say what a failure means | [`error`] |

pub mod api_store;
pub mod error;
mod fail_point;
mod lanes;
mod lease;
mod metrics;
pub mod migrate;
pub mod operator_store;
mod partitions;
mod quotas;
mod read;
mod replica;
mod sketch;
mod sli;
mod sql_error;
pub mod worker_store;
mod write;

/// The statements of readers by name, so that tests can ask Postgres what they cost.
pub fn statements() -> [(&'static str, &'static str); 9] {
    read::statements()
}

pub use api_store::{
    ApiStore, Approximation, Bounds, DeadRow, EventCount, EventFilter, Group, GroupBy, Measured, MetricsFilter,
    MetricsRows, MinuteCount, NextOffset, Position, Seen, StoredEvent, SummaryRows, TraceRows, UserCount,
};
pub use error::{Cause, ReadError, WriteError};
pub use lanes::{LaneStore, StoredPartition};
pub use migrate::{MigrateError, migrate};
pub use operator_store::{Author, Change, Changed, Document, Kind, MAX_DOCUMENTS, OperatorStore};
pub use quotas::{
    AccountUse, AuditFilter, AuditRow, Followed, MAX_OVERRIDES, MAX_QUOTAS, OverrideRow, QuotaAct, QuotaChange,
    QuotaChanged, QuotaStore,
};
pub use replica::Database;
pub use sli::{AccountSums, Beside, Flush, SliStore, Stretch, Whose};
pub use worker_store::{Bucket, EventSink, Progress, SetAside, WorkerStore, Written};
pub use write::Retired;
