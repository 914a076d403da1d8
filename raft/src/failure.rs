//! Why a call on a node gave nothing.

/// Why a proposal gave no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// The bytes can't be applied; they were kept out of the log.
    #[error("the command can't be applied: {0}")]
    Refused(String),
    /// Certainly not done: no leader was found in time, or the leader may not stamp.
    #[error("the command was not accepted: {0}")]
    Unavailable(String),
    /// It may or may not have been done; only asking again with the same id tells.
    #[error("the fate of the command is unknown: {0}")]
    Unknown(String),
}

/// Freshness couldn't be proved in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("can't prove that the view is fresh: {0}")]
pub struct NotFresh(pub String);

/// The view didn't reach an index in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("waited for index {wanted}, the view is at {reached}")]
pub struct NotReached {
    /// What was waited for.
    pub wanted: u64,
    /// How far the view came.
    pub reached: u64,
}

/// Why a node didn't open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The certificate or the key is of no use.
    #[error("can't use the node's identity: {0}")]
    Identity(String),
    /// The peer port can't be listened on.
    #[error("can't listen for peers on {address}")]
    Listen {
        /// The address as configured.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Log or snapshots can't be opened.
    #[error("can't open the data: {0}")]
    Data(String),
    /// The settings contradict each other.
    #[error("bad settings: {0}")]
    Settings(String),
}

/// Why there is no connection to a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Nobody there, or not willing.
    #[error("{0}")]
    Failed(String),
    /// The peer, which has proved its key, says why we don't belong to the cluster any more.
    #[error("{0}")]
    Dismissed(Dismissed),
}

/// Why a node doesn't belong to the cluster any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dismissed {
    /// The cluster has removed it.
    #[error("the cluster removed this node at index {index}")]
    Removed {
        /// The log index that did it.
        index: u64,
    },
    /// Its disk doesn't hold any more what it had held and said.
    #[error("the disk of this node went back to an older state")]
    SetBack,
    /// A member began a later generation of the cluster without it.
    #[error("the cluster goes on in generation {generation} without this node")]
    Superseded {
        /// The later generation.
        generation: u64,
    },
}

/// Why the word that a later generation goes on isn't confirmed to whoever brought it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconfirmed {
    /// It isn't believed, and changes nothing.
    #[error("it is not believed: {0}")]
    NotBelieved(String),
    /// It is believed, and the next start won't know of it.
    #[error("it can't be kept: {0}")]
    NotKept(String),
}

impl From<Dismissed> for DialError {
    fn from(why: Dismissed) -> Self {
        Self::Dismissed(why)
    }
}

impl From<String> for DialError {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl From<&str> for DialError {
    fn from(reason: &str) -> Self {
        Self::Failed(reason.to_owned())
    }
}

/// Why a peer isn't let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWelcome {
    /// It holds the key of a node that doesn't belong any more, and may know why.
    #[error("{0}")]
    Dismissed(Dismissed),
    /// Anything else, in words that a stranger may hear.
    #[error("{0}")]
    Stranger(String),
}

/// Why the membership didn't change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Asked for something that can't be.
    #[error("can't change the membership: {0}")]
    Refused(String),
    /// No leader, or no quorum in time; it may or may not have been done, and may be repeated.
    #[error("the membership may not have changed: {0}")]
    Unavailable(String),
}
