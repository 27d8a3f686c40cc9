//! Bytes to events and back. At the door [`json`] and [`cloudevents`] turn what tenants send into drafts; between door and worker [`envelope`] is
//! the one form of an event inside the log. Invariant: what either lets through, the log and Postgres can hold.

pub mod cloudevents;
pub mod envelope;
pub mod json;
