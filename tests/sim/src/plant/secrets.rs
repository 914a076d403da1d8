//! Planted bugs of nodes whose key file isn't what it should be.

use super::Plant;
use crate::scope::Scope;
use crate::sealing::MasterKey;

/// The key that a node makes which can't read its own.
pub(crate) fn made_up_key(scope: &Scope) -> Option<MasterKey> {
    let planted = scope.history().plant() == Plant::MadeUpKey;
    planted.then(|| MasterKey::named(&format!("made up by {}", scope.node())))
}
