//! Postgres: where events come to rest and where every answer is counted. The only folder that knows SQL. Invariant: a
//! transaction either holds the events, the counts of exactly those events and the progress behind them, or nothing; and every
//! call ends within its deadline, whatever Postgres does.
//!
//! | step | file |
//! |---|---|
//! | make the schema | [`migrate`] |
//! | write a batch (worker) | [`worker_store`], `write/` |
//! | read one account (API) | [`api_store`], `read/` |
//! | lanes: what is stored, who is pinned, who moved | [`lanes`] |
//! | hold connections to their deadlines | `lease` |
//! | say what a failure means | [`error`] |

pub mod api_store;
pub mod error;
mod fail_point;
pub mod lanes;
mod lease;
mod metrics;
pub mod migrate;
mod read;
mod sql_error;
pub mod worker_store;
mod write;

pub use api_store::{ApiStore, EventCount, EventFilter, Position, StoredEvent, SummaryRows, UserCount};
pub use error::{Cause, ReadError, WriteError};
pub use migrate::{MigrateError, migrate};
pub use worker_store::{EventSink, Progress, WorkerStore, Written};
