//! What follows in this crate is described in its modules.
