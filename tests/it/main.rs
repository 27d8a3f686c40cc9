//! Whole-path tests: the same `App` that `main` starts, on real engines, each test with its own database, Redis prefix and
//! topics. Invariant: a test leaves nothing behind; one that does, fails.

mod harness;
mod stores;

mod dead_letters;
mod door;
mod limits;
mod path;
mod process;
mod query;
mod scaling;
mod shutdown;
mod store;
mod worker;
