//! The text form of a join token.
