//! Which server and token the commands use when no flag says so.
