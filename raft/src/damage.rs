//! What a node says when its disk can't be believed any more.

use std::io;

/// A log or snapshot that fails its checks. It is never served: a replica that guesses breaks the quorum's word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{file} is damaged: {what}; this node can't vouch for it and won't serve it. To rejoin: remove this node on \
     another member, move its data folder aside and join again"
)]
pub struct Damage {
    /// The file, or the folder of files, that is damaged.
    pub file: String,
    /// What was found there, and what should have been.
    pub what: String,
}

impl Damage {
    /// Damage found in `file`.
    pub fn new(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { file: file.into(), what: what.into() }
    }

    /// The damage that an error carries, if it is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<Damage> for io::Error {
    fn from(damage: Damage) -> Self {
        Self::new(io::ErrorKind::InvalidData, damage)
    }
}
