//! Whole-path tests: the same `App` that `main` starts, on real engines, each test with its own database, Redis prefix and
//! topics. Invariant: a test leaves nothing behind; one that does, fails.

mod harness;
mod stores;

mod copy;
mod dead_letters;
mod door;
mod fairness;
mod hostile;
mod limits;
mod logs;
mod metrics;
mod path;
mod process;
mod prometheus;
mod query;
mod quotas;
mod reads;
mod repeats;
mod room;
mod scaling;
mod shapes;
mod shapes_all;
mod shutdown;
mod sli;
mod slo;
mod sources;
mod store;
mod streams;
mod topics;
mod traces;
mod worker;
