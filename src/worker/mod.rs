//! From the log to the database:
//!
//! 1. poll: [`crate::kafka::Consumer`] hands over records and tells which partitions are ours;
//! 2. [`decode`]: envelope to event, or a dead letter to be;
//! 3. [`batch`]: what waits, by partition and account ([`strand`]), and who goes next ([`share`]); here accounts get their shares;
//! 4. [`write`]: one transaction, retried, bisected, or set aside;
//! 5. [`settle`]: offsets and progress, after the commit only; [`tally`] and [`keeper`]: live counters and
//!    sketches, likewise.
//!
//! [`line`] holds steps 2, 3 and 5 as plain state; [`run`] does the waiting. Invariant: an offset is stored only after its
//! record is committed in Postgres or acknowledged by the dead-letter topic, so a process that dies anywhere repeats work that
//! the unique key absorbs, and loses none.

mod alarm;
pub mod batch;
pub mod decode;
#[cfg(test)]
mod doubles;
pub mod follow;
pub mod keeper;
pub mod line;
mod load;
mod metrics;
pub mod offsets;
mod pace;
pub mod patience;
pub mod retire;
pub mod run;
pub mod settle;
pub mod share;
pub mod strand;
pub mod tally;
#[cfg(test)]
mod tests;
mod touch;
pub mod write;

pub use keeper::Keeper;
pub use run::{Worker, WorkerError};
pub use strand::Weights;
pub use tally::Tally;
