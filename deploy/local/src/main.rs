//! The command `weir-local`.
fn main() {}
