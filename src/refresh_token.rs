//! Refresh tokens: family, sequence and MAC as one opaque text.
