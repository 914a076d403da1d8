//! Reference tokens: derived, stored hashed.
