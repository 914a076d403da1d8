//! What events say of keys, of what comes from a token, and of what a token may do.

use std::collections::BTreeSet;

use circlet_authority::FamilyId;
use circlet_token::{ServiceId, TokenId};

/// What a node knows of a key, ours or another cluster's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Ours; it verifies, and does not sign yet.
    Published,
    /// Ours; it signs.
    Active,
    /// Ours; it verifies, and signs only what it has signed before.
    Retiring,
    /// Ours; nothing that it signed counts any more.
    Tainted,
    /// Ours; it is forgotten.
    Retired,
    /// Another cluster's, which is trusted.
    Trusted,
    /// Another cluster's, which is trusted no more.
    Distrusted,
}

/// What comes from a revoked token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descendant {
    /// A token that can be revoked.
    pub id: Option<TokenId>,
    /// A family.
    pub family: Option<FamilyId>,
    /// The tokens in between.
    pub through: Vec<TokenId>,
}

/// What a token of another cluster says, and what it may do here.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Who issued it.
    pub issuer: ServiceId,
    /// From its issue to its end, in seconds; `None` if it never ends.
    pub lifetime: Option<u64>,
    /// When it ends, in seconds.
    pub expires_at: Option<u64>,
    /// Whom it is meant for.
    pub audience: String,
    /// The groups that it claims.
    pub claimed: Vec<String>,
    /// The groups of ours that it is in.
    pub groups: BTreeSet<String>,
    /// Whether it administers this cluster.
    pub admin: bool,
}
