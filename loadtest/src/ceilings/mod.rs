//! What the service is held against: the least that could do the same job on this machine. A ceiling is a file here, run as a
//! process of its own so that its processor time is read like everybody's. Invariant: a ceiling does less than Weir, never more.

mod copy;
mod door;
mod log;
mod route;

pub use copy::RawCopy;
pub use door::{Door, Kind, serve};
pub use log::{Produced, RawProducer, Wanted, produce};
