//! A node's directory: where everything is, and that it is what it claims to be.
