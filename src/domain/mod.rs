//! The nouns of the path, shared by every station. Invariant: no I/O, no clock, no randomness; `now` is always an argument.

pub mod event;
pub mod id;
pub mod incident;
pub mod lane;
pub mod outcome;
pub mod partitioner;
pub mod quota;
pub mod receipt;
pub mod ring;
pub mod routes;
pub mod sli;
pub mod tenant;
pub mod time;
pub mod usage;
pub mod window;
