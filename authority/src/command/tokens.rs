//! Actions on access tokens and refresh tokens.

use circlet_token::{Audience, KeyId, Lifetime, Scope, ServiceId, Subject, TokenId, UserName};

use crate::{
    codec::{wire_enum, wire_struct},
    record::{FamilyId, Generation},
};

/// Issue a recorded token. Applying decides when it was issued, when it expires, which key signs it, whether it is
/// revocable, and checks policy and limits; the same id again gives the same outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueToken {
    /// Drawn at the edge, once; survives retries.
    pub id: TokenId,
    /// Which of the two programming interfaces asks; decides the rules of contract sections 1.4 and 1.6.
    pub generation: Generation,
    /// Whom the token speaks for.
    pub subject: Subject,
    /// What it may do.
    pub scope: Scope,
    /// Which services accept it.
    pub audience: Audience,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// Make it revocable whatever its lifetime.
    pub force_revocable: bool,
    /// Free text.
    pub description: Option<String>,
    /// SHA-256 of the reference token, if one was asked for.
    pub reference: Option<[u8; 32]>,
    /// Drawn at the edge if the token is refreshable; its first refresh token has sequence 1.
    pub family: Option<FamilyId>,
    /// Who creates it; `None` where no user does (the system, an operator).
    pub owner: Option<UserName>,
    /// SHA-256 over the owner and the `Idempotency-Key`, if one was sent.
    pub idempotency: Option<[u8; 32]>,
    /// SHA-256 over everything that must be equal for a repeat to be the same request.
    pub request_digest: [u8; 32],
}
wire_struct!(IssueToken {
    id,
    generation,
    subject,
    scope,
    audience,
    lifetime,
    force_revocable,
    description,
    reference,
    family,
    owner,
    idempotency,
    request_digest,
});

/// Use a refresh token. Its MAC was verified at the edge; what it is worth is decided here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// From the refresh token.
    pub family: FamilyId,
    /// From the refresh token.
    pub sequence: u32,
    /// The id of the access token presented with it, if one was.
    pub access: Option<TokenId>,
    /// SHA-256 over refresh token, access token and parameters: a replay must be equal in all.
    pub request_digest: [u8; 32],
    /// Drawn at the edge, once.
    pub successor_id: TokenId,
    /// SHA-256 of the successor's reference token, if one was asked for.
    pub reference: Option<[u8; 32]>,
    /// What shall differ from the old token.
    pub overrides: RefreshOverrides,
}
wire_struct!(RefreshToken { family, sequence, access, request_digest, successor_id, reference, overrides });

/// What a refresh asks to be different; each needs a credential beyond the pair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefreshOverrides {
    /// A new lifetime; for anyone who may refresh and is authenticated, within their bounds.
    pub lifetime: Option<Lifetime>,
    /// A new scope; administrators only.
    pub scope: Option<Scope>,
    /// A new audience; administrators only.
    pub audience: Option<Audience>,
}
wire_struct!(RefreshOverrides { lifetime, scope, audience });

impl RefreshOverrides {
    /// Nothing but the pair was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// End a token before it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeToken {
    /// Which one.
    pub target: RevokeTarget,
    /// Whether to end what was created with it as well, and what was created with that.
    pub cascade: bool,
}
wire_struct!(RevokeToken { target, cascade });

/// How the token to revoke was named.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u8)]
pub enum RevokeTarget {
    /// By its id alone.
    Id(TokenId) = 1,
    /// By its value, which the edge has verified; the facts come along, since plain tokens are not recorded.
    Value(Box<PresentedToken>) = 2,
    /// By a refresh token whose MAC the edge has verified: the family ends.
    Family {
        /// From the refresh token.
        family: FamilyId,
        /// From the refresh token.
        sequence: u32,
    } = 3,
}
wire_enum!(RevokeTarget {
    1 => Id(id),
    2 => Value(token),
    3 => Family { family, sequence },
});

/// The claims of one of our own tokens that was presented for revoking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedToken {
    /// Claim `jti`.
    pub id: TokenId,
    /// Claim `sub`.
    pub subject: Subject,
    /// The key that signed it.
    pub key: KeyId,
    /// Claim `iat`, seconds.
    pub issued_at: u64,
    /// Claim `exp`, seconds.
    pub expires_at: Option<u64>,
    /// Claim `ext`, if there.
    pub revocable: Option<bool>,
    /// Claim `idx`, if there.
    pub index: Option<u64>,
}
wire_struct!(PresentedToken { id, subject, key, issued_at, expires_at, revocable, index });

/// Record live tokens of the installation whose key was adopted: of its revocable tokens only these are honoured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportTokens {
    /// The adopted key that signed them.
    pub kid: KeyId,
    /// At most [`IMPORT_ENTRIES_MAX`](crate::limits::IMPORT_ENTRIES_MAX).
    pub tokens: Vec<ImportedToken>,
}
wire_struct!(ImportTokens { kid, tokens });

/// What the list of the other installation says of one token. Whoever presents it brings the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedToken {
    /// Claim `jti`.
    pub id: TokenId,
    /// Claim `sub`, under any kind of service of this cluster's.
    pub subject: Subject,
    /// Claim `scp`, as far as the list says so.
    pub scope: Scope,
    /// Claim `iat`, seconds.
    pub issued_at: u64,
    /// Claim `exp`, seconds; `None` never expires.
    pub expires_at: Option<u64>,
    /// Free text.
    pub description: Option<String>,
}
wire_struct!(ImportedToken { id, subject, scope, issued_at, expires_at, description });

/// Note when recorded tokens were last used on one node. The later of two times stays, so a repeat changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteUse {
    /// Which, and when, in seconds; at most [`USES_MAX`](crate::limits::USES_MAX).
    pub uses: Vec<(TokenId, u64)>,
}
wire_struct!(NoteUse { uses });

/// Set a watermark: whatever these were issued before this entry is refused, or as much of it as was issued in a stretch of
/// time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeBefore {
    /// Whose tokens.
    pub whom: Whom,
    /// Only those issued at this second or later.
    pub since: Option<u64>,
    /// Only those issued at this second or earlier.
    pub until: Option<u64>,
}
wire_struct!(RevokeBefore { whom, since, until });

impl RevokeBefore {
    /// Whatever these were issued so far.
    #[must_use]
    pub fn all_of(whom: Whom) -> Self {
        Self { whom, since: None, until: None }
    }
}

/// Whose tokens a watermark refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u8)]
pub enum Whom {
    /// One subject's, of ours or of a trusted issuer.
    Subject(Subject) = 1,
    /// All that one key signed.
    Key(KeyId) = 2,
    /// Every subject of a service, under any kind of it, whose name begins like this; all of them if nothing is said.
    Subjects {
        /// Ours, or a trusted issuer.
        service: ServiceId,
        /// Such as `users/ci-`.
        start: String,
    } = 60,
    /// The users that are in a group of this cluster now, and tokens whose scope claims the group.
    Group(String) = 61,
    /// Everybody to whom this cluster has issued anything.
    Everyone = 62,
}
wire_enum!(Whom {
    1 => Subject(subject),
    2 => Key(key),
    60 => Subjects { service, start },
    61 => Group(name),
    62 => Everyone,
});
