//! Promises and whether they are kept. Invariant: what alerts, budgets and reports promise is read from one file of objectives.

pub mod budget;
pub mod objectives;
pub mod rules;
