//! Planted bugs that apply another command than the one that was decided, or tell another outcome.

use std::borrow::Cow;

use circlet_authority::{
    Action, Actor, Command, Config, DismissMember, Outcome, RevokeTarget, RevokeToken, RotateKey, SealedKind,
    State,
};
use circlet_raft::Clocks;

use super::{Plant, guests, levels, refreshing};
use crate::circle::keys_of_thief;
use crate::house;
use crate::scope;

/// Bugs in applying, where one is planted: what is applied in place of the stamp and the command of the entry.
pub(crate) fn before_apply<'a>(view: &State, stamp_ms: u64, command: &'a [u8]) -> (u64, Cow<'a, [u8]>) {
    let Some(scope) = scope::current() else { return (stamp_ms, command.into()) };
    match scope.history().plant() {
        Plant::LocalClock => (scope.wall_ms(), command.into()),
        Plant::RefreshTwice | Plant::SilentRefresh => {
            (stamp_ms, used_again(view, command).map_or(command.into(), Cow::Owned))
        }
        Plant::NoPolicy => (stamp_ms, by_administrator(command).map_or(command.into(), Cow::Owned)),
        Plant::AnyActor => (stamp_ms, by_user(command).map_or(command.into(), Cow::Owned)),
        Plant::AnyUser => (stamp_ms, by_ghost(view, command).map_or(command.into(), Cow::Owned)),
        Plant::RelabelledSecrets => (stamp_ms, relabelled(view, command).map_or(command.into(), Cow::Owned)),
        Plant::KeptRefreshSecret => {
            (stamp_ms, with_old_secret(view, command).map_or(command.into(), Cow::Owned))
        }
        Plant::RevokeForAnyone => (stamp_ms, by_us(command).map_or(command.into(), Cow::Owned)),
        Plant::KeptTrust | Plant::SparedThief => (
            stamp_ms,
            without_distrust(scope.history().plant(), view, command).map_or(command.into(), Cow::Owned),
        ),
        Plant::ReusedInvitation | Plant::LateInvitation | Plant::AnyGuestNamed => (
            stamp_ms,
            guests::uninvited(scope.history().plant(), view, stamp_ms, command)
                .map_or(command.into(), Cow::Owned),
        ),
        Plant::DeafToRepeats => (stamp_ms, without_request(command).map_or(command.into(), Cow::Owned)),
        Plant::LostReferences => (stamp_ms, without_reference(command).map_or(command.into(), Cow::Owned)),
        Plant::ClingingMembers => {
            (stamp_ms, with_all_members(view, command).map_or(command.into(), Cow::Owned))
        }
        Plant::AssumedSupport => {
            (stamp_ms, levels::supporting_all(command).map_or(command.into(), Cow::Owned))
        }
        Plant::OlderJoins => {
            (stamp_ms, levels::supporting_present(view, command).map_or(command.into(), Cow::Owned))
        }
        Plant::NoQuota => (stamp_ms, with_room(command).map_or(command.into(), Cow::Owned)),
        Plant::DeafToKeys => (stamp_ms, without_keys(command).map_or(command.into(), Cow::Owned)),
        plant => (stamp_ms, refreshing::before_apply(plant, command).map_or(command.into(), Cow::Owned)),
    }
}

/// The command as if the token's user had given it, with a password.
fn by_user(command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Actor::Token(token) = &command.actor else { return None };
    command.actor = Actor::User { name: house::name(token.subject.user_name()?) };
    Some(command.encode())
}

/// The command of a user who is shut out or gone, as if the administrator had given it.
fn by_ghost(view: &State, command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Actor::User { name } = &command.actor else { return None };
    if view.user(name).is_some_and(|user| user.is_enabled()) {
        return None;
    }
    command.actor = Actor::User { name: house::name("admin") };
    Some(command.encode())
}

/// The command as if a member's order were our own.
fn by_us(command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::RevokeForMember(order) = &command.action else { return None };
    let (target, cascade) = (RevokeTarget::Id(order.id), order.cascade);
    command.action = Action::RevokeToken(Box::new(RevokeToken { target, cascade }));
    Some(command.encode())
}

/// The command as if it had dismissed the key's issuer once more, where that is a neighbour.
fn without_distrust(plant: Plant, view: &State, command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::DistrustIssuer(distrust) = &command.action else { return None };
    let issuer = view.trusted(&distrust.kid)?.issuer.clone();
    let spared = plant == Plant::KeptTrust || keys_of_thief(&issuer).0.kid == distrust.kid;
    if issuer == *house::OTHERS || !spared {
        return None;
    }
    command.action = Action::DismissMember(DismissMember { issuer });
    Some(command.encode())
}

/// The command as if it allowed for all of every feed.
fn with_room(command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::SetConfig(set) = &mut command.action else { return None };
    set.config.circle_feed_entries_max = Config::default().circle_feed_entries_max;
    Some(command.encode())
}

/// The command as if it brought the refresh secret that there is.
fn with_old_secret(view: &State, command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::ReplaceSecrets(replace) = &mut command.action else { return None };
    replace.refresh_secret = view.sealed(&SealedKind::RefreshSecret)?.clone();
    Some(command.encode())
}

/// The command as if nobody could ask for the same token again.
fn without_request(command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::IssueToken(issue) = &mut command.action else { return None };
    issue.idempotency = None;
    Some(command.encode())
}

/// The command as if no reference token were to come with a successor.
fn without_reference(command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::RefreshToken(refresh) = &mut command.action else { return None };
    refresh.reference = None;
    Some(command.encode())
}

/// The command as if whoever is in the group were to stay.
fn with_all_members(view: &State, command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::PutGroup(put) = &mut command.action else { return None };
    put.members.as_mut()?.extend(view.members(&put.group.name).cloned());
    Some(command.encode())
}

/// The command as if no key in a feed could be used.
fn without_keys(command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::FollowFeed(follow) = &mut command.action else { return None };
    follow.keys.clear();
    Some(command.encode())
}

/// The command as if an administrator had given it.
fn by_administrator(command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    if !matches!(command.actor, Actor::User { .. } | Actor::RefreshPair) {
        return None;
    }
    command.actor = Actor::User { name: house::name("admin") };
    Some(command.encode())
}

/// The command as if the keys that it brings were sealed under the present master key.
fn relabelled(view: &State, command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::RotateKey(rotate) = &mut command.action else { return None };
    let (RotateKey::Publish { key, .. } | RotateKey::Taint { next: Some(key), .. }) = rotate.as_mut() else {
        return None;
    };
    key.private_key.under = view.master_key_fingerprint()?;
    Some(command.encode())
}

/// The command as if its refresh token were the family's present one.
fn used_again(view: &State, command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::RefreshToken(refresh) = &mut command.action else { return None };
    let family = view.family(&refresh.family)?;
    (refresh.sequence, refresh.access) = (family.sequence, Some(family.current));
    Some(command.encode())
}

/// A bug in answering, where one is planted: what is said to have come of a command in this view.
pub(crate) fn in_outcome(view: &State, command: &[u8], outcome: Vec<u8>) -> Vec<u8> {
    let planted = scope::current().is_some_and(|scope| scope.history().plant() == Plant::IssueAnew);
    let anew = planted.then(|| issued_now(view, command, &outcome)).flatten();
    anew.unwrap_or(outcome)
}

/// The answer as if a token that was issued before were issued now.
fn issued_now(view: &State, command: &[u8], outcome: &[u8]) -> Option<Vec<u8>> {
    let Command { actor, action: Action::IssueToken(issue) } = Command::decode(command).ok()? else {
        return None;
    };
    let Outcome::Issued(_) = Outcome::decode(outcome).ok()? else { return None };
    let drafted = view.draft(&actor, &issue, view.now_ms() / 1_000, view.index()).ok()?;
    Some(Outcome::Issued(Box::new(drafted)).encode())
}
