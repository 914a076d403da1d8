//! What must hold after every command.

use crate::{
    command::Whom,
    record::{KeyState, Watermark},
    state::{DerivedSizes, State},
};

/// A rule that does not hold, with the values that break it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(
    /// One line.
    pub String,
);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// All violations in a state; empty for every state that commands lead to. Looks at every record.
#[must_use]
pub fn check(state: &State) -> Vec<Violation> {
    let mut found = Findings::default();
    keys(state, &mut found);
    people(state, &mut found);
    tokens(state, &mut found);
    watermarks(state, &mut found);
    families(state, &mut found);
    nodes(state, &mut found);
    secrets(state, &mut found);
    circle(state, &mut found);
    found.0
}

#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn require(&mut self, holds: bool, broken: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Violation(broken()));
        }
    }
}

fn keys(state: &State, found: &mut Findings) {
    let active: Vec<_> =
        state.keyring().filter(|key| key.state == KeyState::Active).map(|key| &key.kid).collect();
    let wanted = usize::from(state.service_id().is_some());
    found.require(active.len() == wanted, || {
        format!("{} keys are active, not {wanted}: {active:?}", active.len())
    });
    found.require(state.active.as_ref() == active.first().copied(), || {
        "the signing key is not the active one".to_owned()
    });
    let next = state.keyring().filter(|key| key.state == KeyState::Published).count();
    found.require(next <= 1, || format!("{next} keys are published"));
    for key in state.keyring() {
        let forgotten = key.private_key.is_none();
        let ended = matches!(key.state, KeyState::Retired | KeyState::Tainted) || state.outlives(key);
        found.require(forgotten == ended, || {
            format!("key {} is {}, its private half is forgotten: {forgotten}", key.kid, key.state.as_str())
        });
        let leaked =
            state.keyring().any(|one| one.spki_der == key.spki_der && one.state == KeyState::Tainted);
        found.require(!leaked || key.state != KeyState::Active, || {
            format!("key {} signs, and leaked", key.kid)
        });
    }
    for other in state.circle() {
        found.require(!state.is_us(&other.issuer), || format!("{} speaks for this cluster", other.kid));
        let ours = state.keyring().any(|key| key.spki_der == other.spki_der || key.kid == other.kid);
        found.require(!ours, || format!("{} is trusted and ours", other.kid));
        let shared = state
            .circle()
            .find(|one| one.spki_der == other.spki_der && !one.issuer.same_service(&other.issuer));
        found.require(shared.is_none(), || format!("the key of {} speaks for two issuers", other.kid));
        found.require(state.distrusted_at(&other.kid).is_none(), || {
            format!("{} is trusted and distrusted", other.kid)
        });
    }
}

fn people(state: &State, found: &mut Findings) {
    let some = state.service_id().is_none() || state.any_administrator();
    found.require(some, || "nobody administers the cluster".to_owned());
    for user in state.users() {
        let lost = user.groups.iter().find(|group| state.group(group).is_none());
        found.require(lost.is_none(), || format!("{} is in {lost:?}, which does not exist", user.name));
    }
}

fn tokens(state: &State, found: &mut Findings) {
    let mut wanted = DerivedSizes::default();
    for record in state.tokens.iter() {
        wanted.by_user = wanted.by_user.saturating_add(crate::state::users_of(record).count());
        wanted.by_expiry = wanted.by_expiry.saturating_add(1);
        wanted.by_index = wanted.by_index.saturating_add(1);
        wanted.owned = wanted.owned.saturating_add(u64::from(record.owner.is_some()));
        wanted.references = wanted.references.saturating_add(usize::from(record.reference.is_some()));
        wanted.signed = wanted.signed.saturating_add(1);
        wanted.children = wanted.children.saturating_add(usize::from(record.origin.is_some()));
        let listed = state.revocations.is_listed(&record.id, record.expiry());
        let unseen = state.revocations.unseen_until(&record.id).is_some();
        found.require(!listed || unseen, || format!("token {} is recorded and revoked", record.id));
        let key = state.key(&record.kid);
        let verifies = key.is_some_and(|key| key.state != KeyState::Retired);
        found.require(verifies, || format!("token {} has a key that is unknown or retired", record.id));
        let expiry = record.lifetime.expires_at(record.issued_at);
        found.require(record.expires_at == expiry, || {
            format!("token {} expires at {:?}", record.id, record.expires_at)
        });
        found.require(record.revocable || record.expires_at.is_some(), || {
            format!("token {} lives for ever and is not revocable", record.id)
        });
        found.require(record.index <= state.index(), || format!("token {} comes from the future", record.id));
    }
    let derived = state.tokens.derived_sizes();
    found.require(derived == wanted, || format!("derived sizes of tokens are {derived:?}, not {wanted:?}"));
    let (lately, order) = state.revocations.lately_sizes();
    found.require(lately == order, || format!("{lately} lately revoked ids, {order} in order"));
}

fn watermarks(state: &State, found: &mut Findings) {
    let mut before: Option<(Whom, Watermark)> = None;
    for (whom, mark) in state.watermarks() {
        found.require(mark.since <= mark.until, || {
            format!("a watermark of {whom:?} covers nothing: {mark:?}")
        });
        found.require(mark.index <= state.index(), || {
            format!("a watermark of {whom:?} is set by a later entry: {mark:?}")
        });
        if let Some((other, earlier)) = before.as_ref().filter(|(other, _)| *other == whom) {
            found.require(earlier.until < mark.since, || {
                format!("watermarks of {other:?} overlap: {earlier:?}, {mark:?}")
            });
        }
        before = Some((whom, mark));
    }
}

fn families(state: &State, found: &mut Findings) {
    for (id, family) in state.families.iter() {
        if family.ended_at.is_some() {
            continue;
        }
        let Some(current) = state.token(&family.current) else {
            found.require(false, || format!("family {id} lives, its token {} does not", family.current));
            continue;
        };
        let named = current.family == Some((*id, family.sequence));
        found.require(named, || {
            format!("family {id} is at {}, its token says {:?}", family.sequence, current.family)
        });
        found.require(family.expires_at == current.expires_at, || {
            format!("family {id} expires unlike its token")
        });
        let earlier = family.replay.as_ref().is_none_or(|replay| replay.sequence < family.sequence);
        found.require(earlier, || format!("family {id} repeats a use that has not happened"));
    }
    let (count, derived) = (state.families.len(), state.families.derived_size());
    found.require(count == derived, || format!("{count} families, {derived} by expiry"));
}

fn nodes(state: &State, found: &mut Findings) {
    for node in state.nodes() {
        let twin = state.nodes().find(|other| {
            other.record.id != node.record.id && other.record.public_key == node.record.public_key
        });
        found.require(twin.is_none(), || format!("nodes {} and {twin:?} share a key", node.record.id));
        let removed = state.removed_node(node.record.id);
        found.require(removed.is_none(), || format!("node {} is there and was removed", node.record.id));
    }
}

fn secrets(state: &State, found: &mut Findings) {
    let present = state.master_key_fingerprint();
    for which in state.sealed_kinds() {
        let under = state.sealed(&which).map(|sealed| sealed.under);
        found.require(under == present, || format!("{which:?} is sealed under another master key"));
    }
    if let Some(next) = state.next_master_key() {
        found.require(present != Some(next.fingerprint), || {
            "the next master key is the present one".to_owned()
        });
        let stray = next.secrets.values().any(|resealed| resealed.sealed.under != next.fingerprint);
        found.require(!stray, || "a secret is resealed under a key that is not on its way".to_owned());
    }
    for lost in state.lost_nodes() {
        found.require(state.node(lost.id).is_none(), || format!("node {} is there and was lost", lost.id));
    }
}

fn circle(state: &State, found: &mut Findings) {
    if let Some(violation) = state.revocations.feed().violation() {
        found.require(false, || violation);
    }
    for member in state.members_followed() {
        found.require(!state.is_us(&member.approved.issuer), || "this cluster follows itself".to_owned());
        let ours = state.circle_key().is_some_and(|key| member.had_circle_key(&key.spki_der));
        found.require(!ours, || format!("{} has our circle key", member.approved.issuer));
        let issuer = &member.approved.issuer;
        let ended = state.circle().find(|known| state.has_ended(issuer, &known.kid));
        let ended = ended.filter(|known| known.issuer.same_service(issuer));
        found.require(ended.is_none(), || format!("{issuer} said that a trusted key of it ended: {ended:?}"));
    }
    for key in state.followed.keys() {
        found.require(state.members.contains_key(key), || format!("{key} is listed and no member"));
    }
}
