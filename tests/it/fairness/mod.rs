//! Large accounts beside small ones, on the whole path. Invariant: every scene asserts the numbers of the others, not only those of
//! the large one.

mod lanes;
mod processes;
mod redis;
mod scene;
mod whales;
