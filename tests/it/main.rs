//! Whole-path tests.

fn main() {}
