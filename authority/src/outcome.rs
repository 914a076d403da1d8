//! What applying a command returns. A refusal is an outcome, not an error.

use circlet_token::TokenId;

use crate::{
    codec::{self, DecodeError, wire_enum, wire_struct},
    record::TokenRecord,
    refusal::Refusal,
};

/// What a command led to; the same on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It was done; nothing more to say.
    Done = 1,
    /// A token was issued, or had been by the same request.
    Issued(Box<TokenRecord>) = 2,
    /// A refresh token was used, or its use was repeated.
    Refreshed {
        /// The successor.
        record: Box<TokenRecord>,
        /// The sequence of the refresh token to hand out with it.
        sequence: u32,
        /// Whether this repeats an earlier use.
        replay: bool,
    } = 3,
    /// A token, a family or both ended.
    Revoked(Box<Revoked>) = 4,
    /// What should be deleted is not there.
    NotFound {
        /// What was looked for.
        what: String,
    } = 5,
    /// A node may join.
    Joined {
        /// Its id, for ever.
        node: u64,
    } = 6,
    /// The configuration has changed.
    Configured {
        /// Its new version.
        version: u64,
    } = 7,
    /// What has expired was marked.
    Marked {
        /// The log index of the mark.
        mark: u64,
        /// Everything that expired up to this second is marked.
        through: u64,
    } = 8,
    /// Marked entries were removed.
    Purged {
        /// How many.
        removed: u64,
        /// Whether more are left; propose the same again.
        more: bool,
    } = 9,
    /// A watermark was set.
    WatermarkSet {
        /// Tokens below this log index are refused.
        index: u64,
    } = 10,
    /// It was not done, and why.
    Refused(Box<Refusal>) = 11,
    /// Tokens of another installation were recorded.
    Imported(Imported) = 12,
}
wire_enum!(Outcome {
    1 => Done,
    2 => Issued(record),
    3 => Refreshed { record, sequence, replay },
    4 => Revoked(revoked),
    5 => NotFound { what },
    6 => Joined { node },
    7 => Configured { version },
    8 => Marked { mark, through },
    9 => Purged { removed, more },
    10 => WatermarkSet { index },
    11 => Refused(refusal),
    12 => Imported(imported),
});

impl Outcome {
    /// A version byte, then the outcome; frozen, see the module `codec`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The reverse of [`Outcome::encode`].
    ///
    /// # Errors
    /// The bytes are of an unknown version, damaged, or hold something that this build does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }

    /// The refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// What became of tokens that were to be recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// So many are recorded now.
    pub recorded: u64,
    /// So many had been before.
    pub known: u64,
    /// So many have been revoked here, and stay that.
    pub revoked: u64,
    /// So many have expired.
    pub expired: u64,
    /// So many speak for another service.
    pub foreign: u64,
}
wire_struct!(Imported { recorded, known, revoked, expired, foreign });

/// What a revoke ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The access tokens that are refused from now on.
    pub ids: Vec<TokenId>,
    /// It had all been revoked before: nothing changed.
    pub already: bool,
    /// What an operator should know.
    pub note: RevokeNote,
    /// What became of the tokens that were created with it, if they were to end as well.
    pub descendants: Descendants,
}
wire_struct!(Revoked { ids, already, note, descendants });

impl Revoked {
    /// These tokens ended, and nothing else did.
    pub(crate) fn of(ids: Vec<TokenId>, already: bool, note: RevokeNote) -> Self {
        Self { ids, already, note, descendants: Descendants::default() }
    }
}

/// What became of the tokens that were created with a revoked one, by one command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Descendants {
    /// So many are refused from now on.
    pub ended: u64,
    /// So many are not revocable: they are not refreshed any more, and live to their expiry.
    pub living: u64,
    /// There are more than one command ends; propose the same again.
    pub more: bool,
}
wire_struct!(Descendants { ended, living, more });

/// What an operator should know about a revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u8)]
pub enum RevokeNote {
    /// Nothing special.
    None = 1,
    /// The family of refreshable tokens that the token belonged to ended with it.
    FamilyEnded = 2,
    /// The family ended, but its access token is not revocable and lives to its expiry.
    AccessTokenLives {
        /// Which one.
        id: TokenId,
        /// Seconds since the epoch.
        until: Option<u64>,
    } = 3,
    /// The id is not recorded; it was listed for as long as a revocable token that was issued without a record can live.
    ListedUnseen {
        /// Seconds since the epoch.
        until: u64,
    } = 4,
}
wire_enum!(RevokeNote {
    1 => None,
    2 => FamilyEnded,
    3 => AccessTokenLives { id, until },
    4 => ListedUnseen { until },
});

impl std::fmt::Display for RevokeNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::FamilyEnded => f.write_str("its refresh token ended with it"),
            Self::AccessTokenLives { id, until: Some(until) } => {
                write!(f, "no further refresh; access token {id} is not revocable and lives until {until}")
            }
            Self::AccessTokenLives { id, until: None } => {
                write!(f, "no further refresh; access token {id} lives on")
            }
            Self::ListedUnseen { until } => {
                write!(f, "the id is not recorded; it is refused until {until} if it turns up")
            }
        }
    }
}
