//! What an entry changed that invariants look at: keys, and tokens that were issued.

use std::sync::Arc;

use circlet_authority::{
    Action, Command, Outcome, Purge, RefreshToken, RevokeTarget, RevokeToken, RotateKey, State, TokenRecord,
};

use super::{
    circle, descendants, ends, forgetting, guests, importing, keys, levels, master_keys, overstepping,
    refreshing,
};
use crate::history::Event;
use crate::mark::Facts;
use crate::scope::{self, Scope};

/// Tells what applying a command has changed.
pub(super) fn tell(before: &State, after: &State, command: &[u8], outcome: &[u8]) {
    let Some(scope) = scope::current() else { return };
    let (Ok(command), Ok(outcome)) = (Command::decode(command), Outcome::decode(outcome)) else { return };
    if outcome.refusal().is_none() {
        overstepping::tell_given(&scope, before, after.index(), &command, &outcome);
        refreshing::tell(&scope, before, after.index(), &command, &outcome);
        circle::tell(&scope, before, after, &command.action);
        ends::tell(&scope, before, after.index(), &command.action, &outcome);
        guests::tell(&scope, before, after, &command.action);
    }
    let required = after.floor_is_required();
    if before.floor_is_required() != required {
        let (node, index) = (scope.node(), after.index());
        scope.history().tell(&Event::FloorRequired { node, index, required });
    }
    forgetting::tell(&scope, (before, after), &command.action);
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
                forgetting::tell_missed(scope, after, &refresh.family, &outcome);
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
            tell_refreshed(scope, (before, after), &refresh, &record);
            scope.history().note_issued(&record);
        }
        Action::ImportTokens(import) if outcome.refusal().is_none() => {
            importing::tell(scope, before, after, &import);
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
        Action::FeatureLevel(change) if outcome.refusal().is_none() => {
            levels::tell_change(scope, after, &change);
        }
        Action::AdmitNode(admit) => levels::tell_let_in(scope, (before, after), &outcome, admit.supports),
        Action::AdmitByKey(admit) => levels::tell_let_in(scope, (before, after), &outcome, admit.supports),
        Action::Purge(Purge::Mark) => descendants::tell(scope, before, after, None),
        Action::RevokeToken(_) | Action::DeleteUser(_) | Action::Purge(Purge::Remove { .. }) => {
            descendants::tell_gone(scope, before, after);
        }
        _ => {}
    }
}

/// Tells that a refresh token was used. Its family goes on from the token that it has come to.
fn tell_refreshed(
    scope: &Scope,
    (before, after): (&State, &State),
    refresh: &RefreshToken,
    successor: &TokenRecord,
) {
    let current = before.family(&refresh.family).and_then(|family| before.token(&family.current));
    let from = Arc::new(Facts::of_record(current.map_or(successor, |current| current.as_ref())));
    let (node, index, successor) = (scope.node(), after.index(), successor.id);
    let (family, sequence) = (refresh.family, refresh.sequence);
    scope.history().tell(&Event::RefreshDecided { node, family, sequence, successor, index, from });
}
