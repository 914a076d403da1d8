//! What an entry changed that invariants look at: keys, tokens that were issued, and what was forgotten.

use std::collections::BTreeMap;

use circlet_authority::{
    Action, Actor, Command, Judgement, Outcome, Purge, RevokeBefore, RevokeTarget, RevokeToken, RotateKey,
    State, TokenActor, TokenRecord, Whom,
};
use circlet_token::feed::FeedEntry;
use circlet_token::{Algorithm, Audience, Claims, Subject, TokenId, Verified};

use super::{circle, descendants, guests, keys, master_keys, overstepping};
use crate::history::Event;
use crate::scope::{self, Scope};

/// Tells what applying a command has changed.
pub(super) fn tell(before: &State, after: &State, command: &[u8], outcome: &[u8]) {
    let Some(scope) = scope::current() else { return };
    let (Ok(command), Ok(outcome)) = (Command::decode(command), Outcome::decode(outcome)) else { return };
    if let Actor::Token(actor) = &command.actor
        && outcome.refusal().is_none()
        && is_refused(before, actor)
    {
        let (node, index) = (scope.node(), after.index());
        scope.history().tell(&Event::Overruled { node, index, what: command.action.name() });
    }
    if outcome.refusal().is_none() {
        overstepping::tell(&scope, before, after.index(), &command);
        circle::tell(&scope, before, after, &command.action);
        guests::tell(&scope, before, after, &command.action);
    }
    tell_unlisted(&scope, before, after);
    tell_by_action(&scope, (before, after), command.action, outcome);
}

fn tell_by_action(scope: &Scope, (before, after): (&State, &State), action: Action, outcome: Outcome) {
    match action {
        Action::IssueToken(_) => {
            if let Outcome::Issued(record) = outcome {
                scope.history().note_issued(&record);
            }
        }
        Action::RefreshToken(refresh) => {
            let Outcome::Refreshed { record, replay, .. } = outcome else {
                // A second use may have ended the family.
                return descendants::tell_gone(scope, before, after);
            };
            let first = before.family(&refresh.family).and_then(|family| before.token(&family.current));
            if let Some(first) =
                first.filter(|first| replay && record.id == refresh.successor_id && first.id != record.id)
            {
                let (family, sequence, kid) = (refresh.family, refresh.sequence, first.kid.clone());
                scope.history().tell(&Event::Replaced { family, sequence, kid, index: after.index() });
            }
            scope.history().note_issued(&record);
        }
        Action::RotateKey(rotate) if matches!(*rotate, RotateKey::Confirm { .. }) => {}
        Action::TurnMasterKey(turn) if outcome.refusal().is_none() => {
            master_keys::tell_promise(scope, &turn);
            master_keys::tell(scope, Some(before), after);
        }
        Action::SetCircleKey(_) | Action::ReplaceCircleKey(_) | Action::ReplaceCa(_) => {
            master_keys::tell(scope, Some(before), after);
        }
        Action::Bootstrap(_) | Action::RotateKey(_) | Action::TrustIssuer(_) | Action::DistrustIssuer(_) => {
            keys::tell(scope, Some(before), after);
            master_keys::tell(scope, Some(before), after);
        }
        Action::ReplaceSecrets(_) if outcome.refusal().is_none() => {
            scope.history().note_replaced(after.index());
            keys::tell(scope, Some(before), after);
            master_keys::tell(scope, Some(before), after);
        }
        Action::RevokeToken(revoke) if revoke.cascade && outcome.refusal().is_none() => {
            descendants::tell(scope, before, after, Some(&revoke));
        }
        Action::RevokeForMember(revoke) if matches!(outcome, Outcome::Revoked(_)) => {
            let (node, index) = (scope.node(), after.index());
            scope.history().tell(&Event::RevokedFor { node, index, issuer: revoke.issuer });
            let (target, cascade) = (RevokeTarget::Id(revoke.id), revoke.cascade);
            if cascade {
                descendants::tell(scope, before, after, Some(&RevokeToken { target, cascade }));
            } else {
                descendants::tell_gone(scope, before, after);
            }
        }
        Action::RevokeBefore(RevokeBefore { whom: Whom::Group(name), .. }) if outcome.refusal().is_none() => {
            let Some(service) = before.service_id() else { return };
            let members = before.members(&name).map(|name| Subject::user(service, name).to_string());
            scope.history().note_members(after.index(), members.collect());
        }
        Action::Purge(Purge::Mark) => descendants::tell(scope, before, after, None),
        Action::RevokeToken(_) | Action::DeleteUser(_) => descendants::tell_gone(scope, before, after),
        Action::Purge(Purge::Remove { .. }) => {
            descendants::tell_gone(scope, before, after);
            tell_forgotten(scope, before, after);
        }
        _ => {}
    }
}

/// Whether a view refuses the token of an actor: revoked by id or watermark, of a key that leaked, of a disabled user.
fn is_refused(view: &State, actor: &TokenActor) -> bool {
    let claims = Claims {
        revocable: actor.revocable,
        subject: actor.subject.clone(),
        scope: actor.scope.clone(),
        audience: Audience::any(),
        issuer: actor.issuer().clone(),
        expires_at: actor.expires_at,
        issued_at: actor.issued_at,
        not_before: None,
        id: actor.id,
        index: actor.index,
    };
    let verified = Verified { claims, key: actor.key.clone(), algorithm: Algorithm::EdDsa };
    !matches!(view.judge(&verified, view.now_ms() / 1_000), Judgement::Good { .. })
}

/// Of everything on the list of what is revoked: whether it is gone. It is longest for ids of which nothing else is known.
/// What is added moves the feed on, and what is taken away makes the list shorter: where neither is so, nothing is gone.
fn tell_unlisted(scope: &Scope, before: &State, after: &State) {
    let lengths = |state: &State| (state.revoked_count(), state.unseen_count());
    if lengths(before) == lengths(after) && before.feed_end() == after.feed_end() {
        return;
    }
    let (node, index) = (scope.node(), after.index());
    let still = listed(after);
    for (id, until) in listed(before) {
        if still.get(&id).is_none_or(|still| *still < until) {
            let what = format!("that {id} is revoked");
            scope.history().tell(&Event::Forgotten { node, index, what, until });
        }
    }
}

/// The ids on the list, and until when each has to be there.
fn listed(view: &State) -> BTreeMap<TokenId, u64> {
    let mut ids = BTreeMap::new();
    for entry in view.revoked_entries() {
        if let FeedEntry::Listed { expiry: until, id } | FeedEntry::Unseen { until, id } = entry {
            // An id may be there more than once.
            ids.entry(id).and_modify(|latest: &mut u64| *latest = until.max(*latest)).or_insert(until);
        }
    }
    ids
}

/// Of every token that was ever issued: whether its record, its family or its revocation is gone.
fn tell_forgotten(scope: &Scope, before: &State, after: &State) {
    let (node, index) = (scope.node(), after.index());
    let say = |what: String, until: u64| {
        scope.history().tell(&Event::Forgotten { node, index, what, until });
    };
    let grace = u64::try_from(after.config().refresh_expiry).unwrap_or(0);
    for record in scope.history().issued() {
        let id = record.id;
        if before.token(&id).is_some() && after.token(&id).is_none() {
            say(format!("token {id}"), record.expiry());
        }
        if is_revoked(before, &record) && !is_revoked(after, &record) {
            say(format!("the revocation of token {id}"), record.expiry());
        }
        let Some((id, _)) = record.family else { continue };
        let family = before.family(&id).filter(|family| family.current == record.id);
        if let Some(family) = family.filter(|_| after.family(&id).is_none()) {
            say(format!("family {id}"), family.expiry().saturating_add(grace));
        }
    }
}

/// Whether a view refuses a token as revoked, be it the token's id or a watermark.
fn is_revoked(view: &State, record: &TokenRecord) -> bool {
    let Some(service) = view.service_id() else { return false };
    let verified =
        Verified { claims: record.claims(service), key: record.kid.clone(), algorithm: Algorithm::EdDsa };
    matches!(view.judge(&verified, record.issued_at), Judgement::Revoked(_))
}
