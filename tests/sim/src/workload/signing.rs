//! Signing on a node, by its view.

use std::sync::Arc;

use circlet_authority::{SealedKind, State, TokenRecord};
use circlet_raft::{Clocks, Published};
use circlet_token::mint;

use super::witness::Node;
use crate::history::Event;
use crate::house;
use crate::machine::Member;
use crate::plant::Plant;
use crate::scope;

/// Whether a planted bug keeps what comes of a refresh.
pub(super) fn is_silent() -> bool {
    scope::current().is_some_and(|scope| scope.history().plant() == Plant::SilentRefresh)
}

/// The text of a token that was decided, as the product signs it: with its key, if the view lets that key sign.
pub(super) fn sign(
    member: &Member,
    published: &Published<State>,
    record: &TokenRecord,
    plain: bool,
    sent: u64,
) -> Option<Arc<str>> {
    let scope = scope::current()?;
    let (view, kid) = (&published.view, &record.kid);
    let (plant, ring) = (scope.history().plant(), scope.ring());
    if !view.may_sign(kid) && !matches!(plant, Plant::SignTainted | Plant::EagerKey) {
        return None;
    }
    let which = SealedKind::TokenKey(kid.clone());
    // The state forgets a key that has leaked: who still signs with it has kept it in memory.
    let kept = || ring.used(kid).filter(|_| plant == Plant::SignTainted);
    let sealed = view.sealed(&which).cloned().or_else(kept)?;
    let key = house::open(ring, &which, &sealed)?;
    ring.use_key(kid, &sealed);
    let (node, kid, view_index) = (scope.node(), kid.clone(), published.index);
    // What was published may be told otherwise than it is.
    let proved = member.published().fresh_as_of.is_some();
    let age_ms = Node::age_ms(published, scope.boot_ms());
    scope.history().tell(&Event::Signed { node, kid, plain, view: view_index, sent, proved, age_ms });
    Some(mint(&record.claims(view.service_id()?), &record.kid, &key).into())
}
