//! What an entry changed in the circle: keys that were told, circle keys that are believed, what is kept of feeds; and what
//! the clusters that follow this one will be held to.

use circlet_authority::{Action, FollowFeed, FollowStep, Progress, RotateKey, State};
use circlet_token::feed::{CirclePublicKey, FeedEntry};
use circlet_token::{KeyId, ServiceId};

use super::keys;
use crate::history::Event;
use crate::scope::Scope;

/// Tells what a command that was not refused has changed.
pub(super) fn tell(scope: &Scope, before: &State, after: &State, action: &Action) {
    match action {
        Action::Bootstrap(_) => tell_own_keys(scope, None, after),
        Action::ReplaceSecrets(_) => tell_own_keys(scope, Some(before), after),
        Action::RotateKey(rotate) => {
            tell_own_keys(scope, Some(before), after);
            if let RotateKey::Activate { kid, .. } = rotate.as_ref() {
                tell_activated(scope, before, after, kid);
            }
        }
        Action::SetCircleKey(_) | Action::ReplaceCircleKey(_) => tell_own_circle_key(scope, after),
        Action::ApproveMember(approve) => {
            tell_circle_key(scope, Some(before), after, &approve.approved.issuer);
            tell_kept(scope, Some(before), after, &approve.approved.issuer);
            tell_followed(scope, Some(before), after, &approve.approved.issuer);
        }
        Action::DismissMember(dismiss) => {
            tell_kept(scope, Some(before), after, &dismiss.issuer);
            tell_followed(scope, Some(before), after, &dismiss.issuer);
        }
        Action::FollowFeed(follow) => {
            keys::tell(scope, Some(before), after);
            tell_circle_key(scope, Some(before), after, &follow.issuer);
            tell_told(scope, before, after, follow);
            tell_kept(scope, Some(before), after, &follow.issuer);
            tell_followed(scope, Some(before), after, &follow.issuer);
        }
        Action::SetConfig(set) => tell_quota(scope, after, set.config.circle_feed_entries_max),
        _ => {}
    }
}

/// Tells where a node stands that took over a whole state.
pub(super) fn tell_whole(scope: &Scope, view: &State) {
    if view.circle_key().is_some() {
        tell_own_keys(scope, None, view);
        tell_own_circle_key(scope, view);
    }
    for member in view.members_followed() {
        tell_circle_key(scope, None, view, &member.approved.issuer);
        tell_kept(scope, None, view, &member.approved.issuer);
        tell_followed(scope, None, view, &member.approved.issuer);
    }
    tell_quota(scope, view, view.config().circle_feed_entries_max);
}

fn tell_own_keys(scope: &Scope, before: Option<&State>, after: &State) {
    let new = |kid: &KeyId| before.is_none_or(|before| before.key(kid).is_none());
    for key in after.keyring().filter(|key| new(&key.kid)) {
        scope.history().tell_abroad(&Event::KeyAbroad { kid: key.kid.clone() });
    }
}

fn tell_activated(scope: &Scope, before: &State, after: &State, kid: &KeyId) {
    let Some(key) = before.next_key().filter(|key| key.kid == *kid) else { return };
    // Before they pair nobody waits for anybody.
    if before.members_followed().filter(|member| member.mutual).count() < scope.history().followers() {
        return;
    }
    let waited_ms = after.now_ms().saturating_sub(key.since_ms);
    let patience_ms = u64::try_from(before.config().circle_key_wait).unwrap_or(0) * 1_000;
    scope.history().tell_abroad(&Event::ActivatedAbroad { kid: kid.clone(), waited_ms, patience_ms });
}

fn tell_own_circle_key(scope: &Scope, after: &State) {
    let key = after.circle_key().and_then(|key| CirclePublicKey::of_spki(&key.spki_der));
    if let Some(key) = key {
        scope.history().tell_abroad(&Event::CircleKeyAbroad { key });
    }
}

fn tell_circle_key(scope: &Scope, before: Option<&State>, after: &State, issuer: &ServiceId) {
    let of = |view: &State| view.member(issuer).and_then(|member| member.circle_key());
    if let Some(key) = of(after).filter(|key| before.and_then(of) != Some(*key)) {
        scope.history().tell(&Event::CircleKey { node: scope.node(), index: after.index(), key });
    }
}

/// What became of the keys that a feed told in this step. They are believed only while a person trusts one of the issuer's, or
/// did until that ended: what a backup knows may have ended since.
fn tell_told(scope: &Scope, before: &State, after: &State, follow: &FollowFeed) {
    let (FollowStep::Entries { entries, .. } | FollowStep::Page { entries, .. }) = &follow.step else {
        return;
    };
    let over = after.member(&follow.issuer).is_none_or(|member| member.over_quota);
    let limits = before.member(&follow.issuer).and_then(|member| member.limits.clone());
    let believes = limits.is_some() || before.shared_limits(&follow.issuer).is_some();
    for entry in FeedEntry::read_all(entries).filter(|_| !over).into_iter().flatten() {
        let FeedEntry::KeyShown { certificate } = entry else { continue };
        let kid = KeyId::of_certificate(&certificate);
        // What a person distrusted doesn't come back by being told.
        let ended = after.has_ended(&follow.issuer, &kid) || after.distrusted_at(&kid).is_some();
        let refused = believes && after.trusted(&kid).is_none() && !ended;
        let (node, index) = (scope.node(), after.index());
        scope.history().tell(&Event::Told { node, index, kid, refused });
    }
}

fn tell_kept(scope: &Scope, before: Option<&State>, after: &State, issuer: &ServiceId) {
    let of = |view: &State| {
        let over = view.member(issuer).is_some_and(|member| member.over_quota);
        (u64::try_from(view.followed_count(issuer)).unwrap_or(u64::MAX), over)
    };
    let ((entries, over), known) = (of(after), before.map(of));
    if known != Some((entries, over)) {
        let grew = known.is_some_and(|(known, _)| entries > known);
        let (node, index, issuer) = (scope.node(), after.index(), issuer.clone());
        scope.history().tell(&Event::Kept { node, index, issuer, entries, grew, over });
    }
}

/// Of which generation of a neighbour's feed all is known.
fn tell_followed(scope: &Scope, before: Option<&State>, after: &State, issuer: &ServiceId) {
    let of = |view: &State| match view.member(issuer).map(|member| &member.progress) {
        Some(Progress::Following { at }) => at.generation,
        _ => 0,
    };
    let (generation, known) = (of(after), before.map(of));
    if known != Some(generation) {
        let (node, index, issuer) = (scope.node(), after.index(), issuer.clone());
        scope.history().tell(&Event::Follows { node, index, issuer, generation });
    }
}

fn tell_quota(scope: &Scope, after: &State, most: i64) {
    let most = u64::try_from(most).unwrap_or(0);
    scope.history().tell(&Event::Quota { index: after.index(), most });
}
