//! Faults with the auditor as judge. Steps of a scenario are in [`trial`]; a scenario is a function here and a row in [`SCENARIOS`].
//! Invariant: a scenario harms only what it started itself.

mod api;
mod brokers;
mod clock;
mod crowd;
mod kept;
mod kill_rounds;
mod kill_series;
mod limits;
mod network;
mod outage;
mod poison;
mod rotate;
mod scenario;
mod soak;
mod starve;
mod store;
mod table;
mod topic;
mod torn;
mod trial;
mod vitals;
mod weather;
mod workers;

pub use kill_rounds::{FailPoint, KillRounds};
pub use kill_series::KillSeries;
pub use scenario::{SCENARIOS, Scenario};
pub use soak::Soak;
pub use table::{Row, Table};
pub use trial::{Check, Outcome, Settings};
