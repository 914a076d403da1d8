//! Whether a refresh gave more than the token before had to who may not change it: found apart from the product's own policy,
//! in what was applied, whatever anybody was told. A repeat is held against what the use that it repeats began with.

use std::sync::Arc;

use circlet_authority::{Action, Actor, Command, Outcome, RefreshToken, State, TokenActor, TokenRecord};
use circlet_token::UserName;

use super::overstepping::user_of;
use crate::history::Event;
use crate::scope::Scope;

/// Looks at a command that was not refused.
pub(super) fn tell(scope: &Scope, before: &State, index: u64, command: &Command, outcome: &Outcome) {
    let Action::RefreshToken(refresh) = &command.action else { return };
    let Outcome::Refreshed { record, replay, .. } = outcome else { return };
    let Some(old) = used(scope, before, refresh, *replay) else { return };
    let what = match &command.actor {
        Actor::RefreshPair if *replay && refresh.access.is_some() => beyond_itself(before, &old, record),
        Actor::RefreshPair => {
            let differs = !keeps_rights(&old, record) || old.lifetime != record.lifetime;
            differs.then_some("changing a token at its refresh, by the pair alone")
        }
        actor => user_of(before, actor).and_then(|user| beyond(before, &user, actor, refresh, &old, record)),
    };
    if let Some(what) = what {
        scope.history().tell(&Event::Overreached { what, done: true, index });
    }
}

/// Whether a token is shown as the access token of a pair, which may be over: for what it was given before, or for no change.
pub(super) fn opens_pair(before: &State, actor: &TokenActor, action: &Action, outcome: &Outcome) -> bool {
    let Action::RefreshToken(refresh) = action else { return false };
    let Outcome::Refreshed { record, replay, .. } = outcome else { return false };
    let current = before.family(&refresh.family).and_then(|family| before.token(&family.current));
    let same = |old: &Arc<TokenRecord>| keeps_rights(old, record) && old.lifetime == record.lifetime;
    actor.id.is_some() && actor.id == refresh.access && (*replay || current.is_some_and(same))
}

/// The token that a refresh follows.
fn used(scope: &Scope, before: &State, refresh: &RefreshToken, replay: bool) -> Option<Arc<TokenRecord>> {
    let family = before.family(&refresh.family)?;
    if !replay {
        return before.token(&family.current).cloned();
    }
    scope.history().issued_as(&family.replay.as_ref()?.predecessor)
}

/// The access token of the pair is a credential as long as it lives. It is rotated out where the refresh is repeated.
fn beyond_itself(before: &State, old: &TokenRecord, new: &TokenRecord) -> Option<&'static str> {
    let is_fine = old.scope.to_string().contains("applied-permissions/admin")
        || (keeps_rights(old, new) && keeps_bounds(before, old, new));
    (!is_fine).then_some("repeating a refresh with changes, by the pair alone")
}

fn keeps_rights(old: &TokenRecord, new: &TokenRecord) -> bool {
    (&new.scope, &new.audience) == (&old.scope, &old.audience)
}

/// Nobody is given a longer life than before by it, but as far as users may choose one.
fn keeps_bounds(before: &State, old: &TokenRecord, new: &TokenRecord) -> bool {
    let longest = u64::try_from(before.config().max_expiry).unwrap_or(0);
    new.lifetime <= old.lifetime || longest == 0 || new.lifetime.secs().is_some_and(|secs| secs <= longest)
}

/// A user changes how long an own token lives, as far as users may, and nothing else.
fn beyond(
    before: &State,
    user: &str,
    actor: &Actor,
    refresh: &RefreshToken,
    old: &TokenRecord,
    new: &TokenRecord,
) -> Option<&'static str> {
    let itself = matches!(actor, Actor::Token(token) if token.id.is_some() && token.id == refresh.access);
    let owner = old.owner.as_ref().map(UserName::as_str);
    if !itself && old.subject.user_name() != Some(user) && owner != Some(user) {
        return Some("refreshing a token of another user");
    }
    if !keeps_rights(old, new) {
        return Some("another scope or audience at a refresh");
    }
    (!keeps_bounds(before, old, new)).then_some("a longer lifetime at a refresh than users may choose")
}
