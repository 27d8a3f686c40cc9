//! How the service speaks of itself: logs, the metric registry, health. Invariant: nothing here can fail or block a request.

pub mod health;
mod json_lines;
mod lines;
pub mod logging;
pub mod metrics;
pub mod sli;
pub mod top_accounts;
pub mod trace;
