//! Keeps the shape of the code: who may import whom, how long a file may be, which names are banned.

fn main() {}
