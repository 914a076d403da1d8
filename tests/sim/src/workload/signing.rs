//! Signing on a node, by its view.

use std::sync::Arc;

use circlet_authority::{SealedKind, State, TokenRecord};
use circlet_raft::Published;
use circlet_token::mint;

use crate::history::Event;
use crate::house;
use crate::plant::Plant;
use crate::scope;

/// The text of a token that was decided, as the product signs it: with its key, if the view lets that key sign.
pub(super) fn sign(
    published: &Published<State>,
    record: &TokenRecord,
    plain: bool,
    sent: u64,
) -> Option<Arc<str>> {
    let scope = scope::current()?;
    let (view, kid) = (&published.view, &record.kid);
    let planted = matches!(scope.history().plant(), Plant::SignTainted | Plant::EagerKey);
    if !view.may_sign(kid) && !planted {
        return None;
    }
    let key = house::unseal(scope.ring(), view, &SealedKind::TokenKey(kid.clone()))?;
    let (node, kid) = (scope.node(), kid.clone());
    scope.history().tell(&Event::Signed { node, kid, plain, view: published.index, sent });
    Some(mint(&record.claims(view.service_id()?), &record.kid, &key).into())
}
