//! Why a token is not believed.
use crate::algorithm::Algorithm;
use crate::audience::Audience;
use crate::key_id::KeyId;
use crate::limits::TOKEN_BYTES_MAX;
use crate::service_id::ServiceId;
use crate::subject::Subject;

/// The verdict on a token that is refused: one reason per variant. `Display` is one line; [`Reject::code`] is the word
/// for machines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// It is not a token that can be read.
    #[error("not a readable token: {why}")]
    Parse {
        /// What is wrong with it.
        why: ParseReason,
    },
    /// No key is known by this id, and no key of the claimed issuer fits the signature. A newer view or a certificate
    /// that was just put in place may know it.
    #[error("no trusted key `{}` of {issuer}", kid.as_deref().unwrap_or("-"))]
    UnknownKey {
        /// The header's `kid`, shortened, if there is one.
        kid: Option<String>,
        /// The claimed issuer.
        issuer: ServiceId,
    },
    /// The key is trusted, but for another issuer than the token claims.
    #[error("signed by a key of {owner}, which cannot speak for {claimed}")]
    Issuer {
        /// The issuer in the token.
        claimed: ServiceId,
        /// The issuer that the key belongs to.
        owner: ServiceId,
    },
    /// The subject belongs to another service than the issuer.
    #[error("subject `{subject}` does not belong to the issuer {issuer}")]
    Subject {
        /// The subject in the token.
        subject: Subject,
        /// The issuer in the token.
        issuer: ServiceId,
    },
    /// The header names another algorithm than the key's, or one that is never accepted.
    #[error("algorithm `{header}` is not {}", key.map_or("EdDSA, RS256 or ES256", Algorithm::as_str))]
    Algorithm {
        /// The header's `alg`, shortened.
        header: String,
        /// The algorithm of the key that the header names, if it names a known one.
        key: Option<Algorithm>,
    },
    /// The signature does not fit.
    #[error("the signature does not fit")]
    Signature,
    /// Its time is over.
    #[error("expired at {at}, now is {now}")]
    Expired {
        /// `exp`, in seconds since 1970.
        at: u64,
        /// The time of the check.
        now: u64,
    },
    /// Its time has not come, beyond the leeway for clocks.
    #[error("not valid before {from}, now is {now}")]
    NotYetValid {
        /// `iat` or `nbf`, in seconds since 1970.
        from: u64,
        /// The time of the check.
        now: u64,
    },
    /// It is meant for other services.
    #[error("audience `{audience}` does not include {me}")]
    Audience {
        /// The audience in the token.
        audience: Audience,
        /// The service that checked.
        me: ServiceId,
    },
    /// It was revoked, or counts as revoked.
    #[error("revoked: {why}")]
    Revoked {
        /// How.
        why: Revocation,
    },
    /// The verifier cannot prove that its knowledge of revocations is fresh enough for this token. Not the token's fault:
    /// the same token may be good in a moment.
    #[error("cannot prove freshness: knowledge is {} ms old, at most {max_ms} is allowed",
        age_ms.map_or_else(|| "unknown".to_owned(), |age| age.to_string()))]
    Stale {
        /// How old the knowledge is at most; `None` if nothing is proven since the start.
        age_ms: Option<u64>,
        /// How old it may be.
        max_ms: u64,
    },
}

/// How a token came to be revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Revocation {
    /// Its id is on the revocation list.
    #[error("its id was revoked")]
    Listed,
    /// All tokens of its subject or key up to some point were revoked.
    #[error("tokens issued at this point were revoked together")]
    Watermark,
    /// Its key is tainted: nothing it signed counts any more.
    #[error("its key `{key}` is tainted")]
    KeyTainted {
        /// The key.
        key: KeyId,
    },
    /// It is revocable and was issued elsewhere, so nobody here can know whether it was revoked.
    #[error("a revocable token issued by {issuer} is not known here")]
    ForeignRevocable {
        /// Its issuer.
        issuer: ServiceId,
    },
    /// It is revocable and was issued elsewhere, and what that cluster revoked is not known here, though it is followed.
    #[error("what {issuer} revoked is not known here: {why}")]
    ForeignUnknown {
        /// Its issuer.
        issuer: ServiceId,
        /// Why not.
        why: &'static str,
    },
    /// It is revocable and was issued elsewhere, and what is known of that cluster's revocations is too old.
    #[error("what {issuer} revoked was last proved {} ms ago, at most {max_ms} is allowed",
        age_ms.map_or_else(|| "an unknown number of".to_owned(), |age| age.to_string()))]
    ForeignStale {
        /// Its issuer.
        issuer: ServiceId,
        /// How old it is at most; `None` if nothing is proven.
        age_ms: Option<u64>,
        /// How old it may be.
        max_ms: u64,
    },
    /// Nothing was heard of its issuer for too long.
    #[error("nothing was heard of {issuer} for {silent_secs} s")]
    ForeignIsolated {
        /// Its issuer.
        issuer: ServiceId,
        /// For how long.
        silent_secs: u64,
    },
    /// It should be recorded here and is not.
    #[error("no token with its id is recorded")]
    Unrecorded,
    /// It was refreshed: a successor took its place.
    #[error("it was refreshed, a successor took its place")]
    Refreshed,
    /// Its user was deleted or disabled.
    #[error("its user may not sign in")]
    UserDisabled,
    /// Its issuer grants more than its limits here.
    #[error("beyond the limits set for {issuer}")]
    IssuerLimits {
        /// Its issuer.
        issuer: ServiceId,
    },
}

/// What makes a token unreadable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseReason {
    /// It is longer than any token.
    #[error("{bytes} bytes, at most {TOKEN_BYTES_MAX} are read")]
    Oversize {
        /// Its length.
        bytes: usize,
    },
    /// It is not three parts separated by dots.
    #[error("not three parts separated by dots")]
    Shape,
    /// A part is not base64url without padding in its one canonical spelling.
    #[error("the {part} is not canonical base64url")]
    Base64 {
        /// `header`, `payload` or `signature`.
        part: &'static str,
    },
    /// A part is not one JSON object.
    #[error("the {part} is not a JSON object")]
    Json {
        /// `header` or `payload`.
        part: &'static str,
    },
    /// A name comes twice in a part.
    #[error("`{name}` comes twice in the {part}")]
    Duplicate {
        /// `header`, `payload` or `ext`.
        part: &'static str,
        /// The name, shortened.
        name: String,
    },
    /// Something that every token has is missing.
    #[error("`{name}` is missing")]
    Missing {
        /// The name of the header parameter or claim.
        name: &'static str,
    },
    /// A header parameter or claim is not what it must be.
    #[error("`{name}` is not {expected}")]
    Claim {
        /// The name of the header parameter or claim.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The header demands extensions (`crit`); none is understood here.
    #[error("the header demands extensions, and none is understood here")]
    Critical,
}

impl Reject {
    /// The reason in one word, stable, in snake case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Parse { .. } => "parse",
            Self::UnknownKey { .. } => "unknown_key",
            Self::Issuer { .. } => "issuer",
            Self::Subject { .. } => "subject",
            Self::Algorithm { .. } => "algorithm",
            Self::Signature => "signature",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Audience { .. } => "audience",
            Self::Revoked { .. } => "revoked",
            Self::Stale { .. } => "stale",
        }
    }
}

impl ParseReason {
    /// The reason in one word, stable, in snake case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Oversize { .. } => "oversize",
            Self::Shape => "shape",
            Self::Base64 { .. } => "base64",
            Self::Json { .. } => "json",
            Self::Duplicate { .. } => "duplicate",
            Self::Missing { .. } => "missing",
            Self::Claim { .. } => "claim",
            Self::Critical => "critical",
        }
    }
}

impl From<ParseReason> for Reject {
    fn from(why: ParseReason) -> Self {
        Self::Parse { why }
    }
}
