//! The authority as a state machine of the log.
