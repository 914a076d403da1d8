//! Whom a service believes that verifies by itself: keys, and what their issuers revoked.

use std::collections::BTreeMap;

use crate::feed::Follower;
use crate::feed::can_be_revoked;
use crate::key_set::KeySet;
use crate::reject::{Reject, Revocation};
use crate::service_id::ServiceId;
use crate::verify::{Check, Verified, verify};

/// Keys, and the feeds that are followed. A revocable token of an issuer whose feed is not followed is refused: nobody here
/// can know whether it was revoked.
///
/// What it promises is what [`Follower`] does.
#[derive(Clone, Default)]
pub struct Circle {
    keys: KeySet,
    followers: BTreeMap<String, Follower>,
}

impl Circle {
    /// A circle of those whose keys these are.
    #[must_use]
    pub fn new(keys: KeySet) -> Self {
        Self { keys, followers: BTreeMap::new() }
    }

    /// Follows a feed, in place of what was followed of its issuer before.
    pub fn follow(&mut self, follower: Follower) {
        self.followers.insert(follower.issuer().ulid().to_owned(), follower);
    }

    /// The follower of an issuer's feed.
    #[must_use]
    pub fn follower(&self, issuer: &ServiceId) -> Option<&Follower> {
        self.followers.get(issuer.ulid())
    }

    /// The same, to hand it what was fetched.
    pub fn follower_mut(&mut self, issuer: &ServiceId) -> Option<&mut Follower> {
        self.followers.get_mut(issuer.ulid())
    }

    /// All of them, in the order of the unique parts of their service ids.
    pub fn followers(&self) -> impl Iterator<Item = &Follower> {
        self.followers.values()
    }

    /// Verifies a token: signature, time, audience, and whether it was revoked. The check counts in whole seconds: a head
    /// must be valid to the end of the second.
    ///
    /// # Errors
    /// Why it is not good.
    pub fn verify(&self, token: &str, check: &Check<'_>) -> Result<Verified, Reject> {
        let verified = match verify(token, &self.keys, check) {
            // Its issuer's feed may tell a key that nobody has brought yet.
            Err(Reject::UnknownKey { kid, issuer }) => match self.follower(&issuer) {
                Some(follower) => verify(token, follower.token_keys(), check)?,
                None => return Err(Reject::UnknownKey { kid, issuer }),
            },
            verified => verified?,
        };
        let issuer = &verified.claims.issuer;
        match self.follower(issuer) {
            Some(follower) => {
                let last_ms = check.now.saturating_mul(1_000).saturating_add(999);
                follower.judge(&verified, last_ms)?;
            }
            None if can_be_revoked(&verified) => {
                return Err(Reject::Revoked { why: Revocation::ForeignRevocable { issuer: issuer.clone() } });
            }
            None => {}
        }
        Ok(verified)
    }
}
