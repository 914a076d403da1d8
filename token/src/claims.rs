//! What a token says.
use crate::audience::Audience;
use crate::lifetime::Lifetime;
use crate::scope::Scope;
use crate::service_id::ServiceId;
use crate::subject::Subject;
use crate::token_id::TokenId;

/// The claims of a token, ours or foreign. Times are whole seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `ext`: whether the issuer marked the token as revocable. Only `Some(true)` is written; a token without the mark
    /// is judged by its lifetime.
    pub revocable: Option<bool>,
    /// `sub`: whom the token speaks for.
    pub subject: Subject,
    /// `scp`: what it allows.
    pub scope: Scope,
    /// `aud`: the services that may accept it.
    pub audience: Audience,
    /// `iss`: the service that issued it. Of a foreign `<service-id>/users/<creator>` this is the service id.
    pub issuer: ServiceId,
    /// `exp`: the first second in which it is no longer valid; `None` if it never expires.
    pub expires_at: Option<u64>,
    /// `iat`: when it was issued.
    pub issued_at: u64,
    /// `nbf`: the first second in which it is valid. Ours never carry it.
    pub not_before: Option<u64>,
    /// `jti`: its id. Ours always have one; a foreign token whose `jti` is not a UUID has none here.
    pub id: Option<TokenId>,
    /// `idx`: the log index of the view that issued it. Absent in tokens of other products.
    pub index: Option<u64>,
}

impl Claims {
    /// `exp - iat`; for ever without `exp`. An `exp` at or before `iat` counts as one second: a lifetime of 0 would
    /// mean for ever.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        self.expires_at
            .map_or(Lifetime::FOREVER, |at| Lifetime::from_secs(at.saturating_sub(self.issued_at).max(1)))
    }
}
