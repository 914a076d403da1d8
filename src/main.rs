//! The `circlet` binary.
fn main() {}
