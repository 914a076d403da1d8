//! Planted bugs of nodes whose key file isn't what it should be.

use circlet_authority::Sealed;

use super::Plant;
use crate::scope::{self, Scope};
use crate::sealing::{MasterKey, Ring};

/// The key that a node makes which can't read its own.
pub(crate) fn made_up_key(scope: &Scope) -> Option<MasterKey> {
    let planted = scope.history().plant() == Plant::MadeUpKey;
    planted.then(|| MasterKey::named(&format!("made up by {}", scope.node())))
}

/// What comes of opening a secret with a key that is there, though it is another one.
pub(crate) fn opened_with_anything(ring: &Ring, sealed: &Sealed) -> Option<Vec<u8>> {
    let planted = scope::current().is_some_and(|scope| scope.history().plant() == Plant::OpensAnything);
    planted.then(|| ring.last()).flatten().map(|key| key.open_unchecked(sealed))
}
