//! The table of `make bench`: what Weir costs beside its ceilings. Steps: one stack → arms in turns → [`table`]. A group of
//! ratios that share a stack is a file here. Invariant: both arms of a ratio ran in the same rounds of the same run.

mod alone;
mod core;
mod covered;
mod kept;
mod limits;
mod machine;
mod peers;
mod shares;
mod table;
mod whale;
mod whole;

pub use core::{Core, Lengths};
pub use kept::KeptTable;
pub use limits::Limits;
pub use machine::Machine;
pub use peers::Peers;
pub use shares::Shares;
pub use table::{Entry, Goal, Table};
pub use whale::{LEAST_SECONDS, Whale};
pub use whole::Whole;
