//! Signing keys, sealed secrets, the circle of trust.

use std::collections::{BTreeMap, BTreeSet};

use circlet_token::{Algorithm, KeyId, Lifetime, ServiceId};

use crate::codec::{wire_enum, wire_struct};

/// A secret that only a node with the cluster's master key can open. Made at the edge: nonce and ciphertext come with the
/// command.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The fingerprint of the master key that it opens under.
    pub under: [u8; 32],
    /// For XChaCha20-Poly1305.
    pub nonce: [u8; 24],
    /// With the tag at its end.
    pub ciphertext: Vec<u8>,
}
wire_struct!(Sealed { under, nonce, ciphertext });

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.ciphertext.len())
    }
}

/// Which sealed secret is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum SealedKind {
    /// The private half of one of the cluster's token keys.
    TokenKey(KeyId) = 1,
    /// The private key of the cluster's certificate authority.
    ClusterCa = 2,
    /// The key of refresh tokens' MACs.
    RefreshSecret = 3,
    /// The key that signs where our feed stands.
    CircleKey = 4,
}
wire_enum!(SealedKind {
    1 => TokenKey(kid),
    2 => ClusterCa,
    3 => RefreshSecret,
    4 => CircleKey,
});

/// Where a signing key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyState {
    /// Verifies; does not sign yet. At most one key is published.
    Published = 1,
    /// Verifies and signs; exactly one key is active.
    Active = 2,
    /// Neither verifies nor signs: its last token is gone. Its private half has been forgotten.
    Retired = 3,
    /// Whatever it signed is refused. Its private half has been forgotten.
    Tainted = 4,
    /// Verifies, as long as tokens of it may live; signs no more.
    Retiring = 5,
}
wire_enum!(KeyState {
    1 => Published,
    2 => Active,
    3 => Retired,
    4 => Tainted,
    5 => Retiring,
});

impl KeyState {
    /// The word used in messages and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Tainted => "tainted",
            Self::Retiring => "retiring",
        }
    }
}

/// Where a signing key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyOrigin {
    /// Made by this cluster: it has signed what the cluster knows of, and nothing else.
    Made = 1,
    /// Brought by an operator: tokens of an earlier life may exist that nobody here has recorded.
    Adopted = 2,
}
wire_enum!(KeyOrigin {
    1 => Made,
    2 => Adopted,
});

impl KeyOrigin {
    /// The word used in messages and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Adopted => "adopted",
        }
    }
}

/// One of the cluster's own signing keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// From its certificate.
    pub kid: KeyId,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// The root certificate.
    pub certificate_der: Vec<u8>,
    /// The public key, as the certificate holds it.
    pub spki_der: Vec<u8>,
    /// The private half, sealed; `None` once the key has retired or leaked.
    pub private_key: Option<Sealed>,
    /// Where it comes from.
    pub origin: KeyOrigin,
    /// Where it is in its life.
    pub state: KeyState,
    /// The log index at which it got there.
    pub since_index: u64,
    /// The state's time at which it got there, milliseconds.
    pub since_ms: u64,
    /// For how many seconds it is shown at least before it signs.
    pub overlap_secs: u64,
    /// The nodes that have unsealed it.
    pub confirmed: BTreeSet<u64>,
    /// Until when tokens of it may live that nobody recorded, in seconds; settled when it signs no more.
    pub plain_until: u64,
    /// The sequence in our feed at which members learned of it; 0 if the feed didn't tell it.
    pub told_at: u64,
}
wire_struct!(Key {
    kid,
    algorithm,
    certificate_der,
    spki_der,
    private_key,
    origin,
    state,
    since_index,
    since_ms,
    overlap_secs,
    confirmed,
    plain_until,
    told_at,
});

/// What the tokens of a trusted issuer may do here. By default all that the guide allows, except admin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssuerLimits {
    /// Whether its admin tokens are admin here.
    pub admin: bool,
    /// The groups that its tokens may claim, each with the group here that it stands for; `None`: any that exists here,
    /// under its own name.
    pub groups: Option<BTreeMap<String, String>>,
    /// The longest lifetime, also counted from now; for ever: no limit.
    pub max_lifetime: Option<Lifetime>,
    /// The entries that the audience of its tokens may consist of, as they are written there; `None`: any.
    pub audiences: Option<BTreeSet<String>>,
    /// Whether it may have our tokens revoked, if it is a member of the circle: it vouches for an administrator of its own.
    pub revoke: bool,
}
wire_struct!(IssuerLimits { admin, groups, max_lifetime, audiences, revoke });

impl IssuerLimits {
    /// What both allow.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let groups = match (self.groups, &other.groups) {
            (Some(mut one), Some(other)) => {
                one.retain(|theirs, ours| other.get(theirs) == Some(ours));
                Some(one)
            }
            (one, other) => one.or_else(|| other.clone()),
        };
        let audiences = match (self.audiences, &other.audiences) {
            (Some(one), Some(other)) => Some(&one & other),
            (one, other) => one.or_else(|| other.clone()),
        };
        Self {
            admin: self.admin && other.admin,
            groups,
            max_lifetime: self.max_lifetime.into_iter().chain(other.max_lifetime).min(),
            audiences,
            revoke: self.revoke && other.revoke,
        }
    }
}

/// A root certificate of another cluster that this one trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// From the certificate.
    pub kid: KeyId,
    /// What the key signs with.
    pub algorithm: Algorithm,
    /// The public key, as the certificate holds it.
    pub spki_der: Vec<u8>,
    /// The whole certificate.
    pub certificate_der: Vec<u8>,
    /// Whom the key speaks for.
    pub issuer: ServiceId,
    /// The certificate's common name.
    pub common_name: String,
    /// The certificate's last day, as text.
    pub not_after: String,
    /// What its tokens may do here.
    pub limits: IssuerLimits,
    /// The file it came from.
    pub file_name: String,
    /// The log index that brought it in, or changed it last.
    pub since_index: u64,
    /// It came by its issuer's feed, under the issuer's circle key, and not from a person.
    pub by_feed: bool,
}
wire_struct!(TrustedIssuer {
    kid,
    algorithm,
    spki_der,
    certificate_der,
    issuer,
    common_name,
    not_after,
    limits,
    file_name,
    since_index,
    by_feed,
});
