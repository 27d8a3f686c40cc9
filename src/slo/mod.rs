//! Promises and whether they are kept. Invariant: what alerts, budgets and reports promise is read from one file of objectives.

pub mod budget;
pub mod desk;
pub mod flush;
mod metrics;
pub mod objectives;
pub mod period;
pub mod report;
pub mod rules;
pub mod sign;
pub mod visibility;
