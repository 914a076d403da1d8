//! Recorded tokens, families of refreshable tokens, watermarks.

use circlet_token::{Audience, Claims, KeyId, Lifetime, Scope, ServiceId, Subject, TokenId, UserName};

use crate::codec::{wire_enum, wire_struct};

/// Which programming interface a token came from; its successors keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Generation {
    /// `/api/security/token`, the guide's.
    Legacy = 1,
    /// `/access/api/v1/tokens`.
    Access = 2,
}
wire_enum!(Generation {
    1 => Legacy,
    2 => Access,
});

/// The name of a chain of tokens, each the successor of the one before. Random, part of each refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FamilyId(
    /// As drawn at the edge.
    pub [u8; 16],
);

impl crate::codec::Wire for FamilyId {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn take(input: &mut crate::codec::Input<'_>) -> Result<Self, crate::codec::DecodeError> {
        Ok(Self(crate::codec::Wire::take(input)?))
    }
}

impl std::fmt::Display for FamilyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a token was created with: one token, or whichever token a family of refreshable ones has at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Origin {
    /// A token that can't be refreshed, or that nothing recorded.
    Token(TokenId) = 1,
    /// A token of this family.
    Family(FamilyId) = 2,
}
wire_enum!(Origin {
    1 => Token(id),
    2 => Family(id),
});

/// A token that the log knows: all that its bytes are made of, and what they don't tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Claim `jti`.
    pub id: TokenId,
    /// Claim `sub`.
    pub subject: Subject,
    /// Claim `scp`.
    pub scope: Scope,
    /// Claim `aud`.
    pub audience: Audience,
    /// What was asked for; a successor lives as long.
    pub lifetime: Lifetime,
    /// Whether it can be ended before it expires; written into claim `ext`.
    pub revocable: bool,
    /// Claim `iat`, seconds.
    pub issued_at: u64,
    /// Claim `exp`, seconds; `None` never expires.
    pub expires_at: Option<u64>,
    /// Claim `idx`: the log index that issued it.
    pub index: u64,
    /// The key that signs it.
    pub kid: KeyId,
    /// The user who created it; `None` where no user did.
    pub owner: Option<UserName>,
    /// Whether the owner came from an external realm at that time: such an owner may vanish without ending a family.
    pub owner_external: bool,
    /// The token with which it was created.
    pub parent: Option<TokenId>,
    /// The same, under a name that a refresh of the parent doesn't change.
    pub origin: Option<Origin>,
    /// Free text.
    pub description: Option<String>,
    /// Its family, and the sequence of the refresh token that was handed out with it.
    pub family: Option<(FamilyId, u32)>,
    /// SHA-256 of its reference token.
    pub reference: Option<[u8; 32]>,
    /// Which interface created it.
    pub generation: Generation,
    /// What a repeat of the request must equal.
    pub request_digest: [u8; 32],
}
wire_struct!(TokenRecord {
    id,
    subject,
    scope,
    audience,
    lifetime,
    revocable,
    issued_at,
    expires_at,
    index,
    kid,
    owner,
    owner_external,
    parent,
    origin,
    description,
    family,
    reference,
    generation,
    request_digest,
});

impl TokenRecord {
    /// The claims to sign; the same record always gives the same bytes.
    #[must_use]
    pub fn claims(&self, issuer: &ServiceId) -> Claims {
        Claims {
            revocable: self.revocable.then_some(true),
            subject: self.subject.clone(),
            scope: self.scope.clone(),
            audience: self.audience.clone(),
            issuer: issuer.clone(),
            expires_at: self.expires_at,
            issued_at: self.issued_at,
            not_before: None,
            id: Some(self.id),
            index: Some(self.index),
        }
    }

    /// What tokens that are created with this one come from.
    #[must_use]
    pub fn as_origin(&self) -> Origin {
        self.family.map_or(Origin::Token(self.id), |(family, _)| Origin::Family(family))
    }

    /// The second at which it expires, for ordering: one that never does comes last.
    #[must_use]
    pub fn expiry(&self) -> u64 {
        self.expires_at.unwrap_or(u64::MAX)
    }
}

/// A chain of refreshable tokens: constant in size, however often it was refreshed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// The sequence of the one refresh token that can still be used.
    pub sequence: u32,
    /// The access token that was handed out with it.
    pub current: TokenId,
    /// When the current access token expires, seconds; it can be refreshed for `token.refresh-expiry` longer.
    pub expires_at: Option<u64>,
    /// The last use, as long as it may be repeated.
    pub replay: Option<Replay>,
    /// When the family was revoked, seconds. It is remembered for a while, to tell revoked from unknown.
    pub ended_at: Option<u64>,
}
wire_struct!(Family { sequence, current, expires_at, replay, ended_at });

impl Family {
    /// The second from which `token.refresh-expiry` counts until the family is forgotten.
    #[must_use]
    pub fn expiry(&self) -> u64 {
        self.ended_at.or(self.expires_at).unwrap_or(u64::MAX)
    }
}

/// The last use of a family's refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The sequence that was used.
    pub sequence: u32,
    /// What a repeat must equal.
    pub request_digest: [u8; 32],
    /// The access token that was refreshed.
    pub predecessor: TokenId,
    /// When, in stamps.
    pub at_ms: u64,
}
wire_struct!(Replay { sequence, request_digest, predecessor, at_ms });

/// "All that was issued before": one entry refuses any number of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    /// Tokens that carry a log index are refused below this one: the entry that set the watermark.
    pub index: u64,
    /// The state's time then: tokens without a log index are refused if issued up to this second.
    pub set_at: u64,
    /// The first second of issue that it covers.
    pub since: u64,
    /// The last second of issue that it covers.
    pub until: u64,
    /// Until when a token may live that it refuses and that nobody recorded, seconds.
    pub plain_until: u64,
}
wire_struct!(Watermark { index, set_at, since, until, plain_until });

impl Watermark {
    /// Whether it refuses a token that was issued at this second, and by this log index if it carries one. The view that
    /// issued it at or above the watermark's own index had heard of it.
    pub(crate) fn refuses(&self, issued_at: u64, index: Option<u64>) -> bool {
        (self.since..=self.until).contains(&issued_at)
            && index.map_or(issued_at <= self.set_at, |index| index < self.index)
    }
}
