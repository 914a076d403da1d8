//! What a view says of a reference token. No node, so that the simulator's nodes resolve them by the same lines.

use circlet_authority::{FamilyId, State};
use circlet_token::{Reject, Revocation, ServiceId, TokenId, Verified};

use crate::reference_token;

/// The token behind a reference token. Unknown is told apart from unreadable: a fresh view may know it.
///
/// # Errors
/// This view knows no such token.
pub fn resolve(view: &State, own: &ServiceId, text: &str) -> Result<Verified, Reject> {
    let unknown = || Reject::Revoked { why: Revocation::Unrecorded };
    let presented = reference_token::read(text).ok_or_else(unknown)?;
    let record = view.reference(&presented.hash).and_then(|id| view.token(&id)).ok_or_else(unknown)?;
    if !presented.fits(record.expires_at) {
        return Err(unknown());
    }
    let algorithm = view.key(&record.kid).ok_or_else(unknown)?.algorithm;
    Ok(Verified { claims: record.claims(own), key: record.kid.clone(), algorithm })
}

/// The id of the token behind a reference token that comes with a refresh token of this family. The token that was refreshed
/// last is gone, and its reference token with it: that one is known by what is derived from its id, so that whoever shows it can
/// repeat the refresh.
pub fn in_pair(
    view: &State,
    family: &FamilyId,
    hash: &[u8; 32],
    hash_of: impl Fn(&TokenId) -> Option<[u8; 32]>,
) -> Option<TokenId> {
    view.reference(hash).or_else(|| {
        let predecessor = view.family(family)?.replay.as_ref()?.predecessor;
        (hash_of(&predecessor) == Some(*hash)).then_some(predecessor)
    })
}
