//! Cost per event, arms side by side on one private stack. Steps: stack → arms → interleaved rounds → table. An arm is a file
//! here. Invariant: processor time first, rate second, latency never (these loops are closed).

mod arm;
mod check;
mod drain;
mod flush;
mod ingest;
mod load;
mod observed;
mod refused;

pub use arm::{Arm, Measured, Sample, Spread, interleave};
pub use check::{Judged, judged};
pub use drain::{Drain, empty_backlog};
pub use flush::{Flushed, flushes};
pub use ingest::Ingest;
pub use load::Load;
pub use observed::{Observed, Ratio};
pub use refused::Refusals;
