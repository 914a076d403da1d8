//! What changed between two states, in time that follows what changed: the maps of both share all that did not.

use imbl::{OrdMap, ordmap::DiffItem, ordset};

use super::{FloorFact, FloorHead, person, shown};
use crate::{
    config::unsigned,
    record::Watermark,
    state::{Order, State},
};

/// The end of the recorded tokens is told to the next whole day, so that it moves once a day and not with each token.
const DAY_SECS: u64 = 86_400;

impl State {
    /// Whether nothing can have changed since `before`, told in constant time. `false` says nothing.
    #[must_use]
    pub fn floor_is_same(&self, before: &Self) -> bool {
        self.revocations.is_same(&before.revocations)
            && self.watermarks.is_same(&before.watermarks)
            && self.keyring.ptr_eq(&before.keyring)
            && self.users.ptr_eq(&before.users)
            && self.circle.ptr_eq(&before.circle)
            && self.distrusted.ptr_eq(&before.distrusted)
            && self.nodes.ptr_eq(&before.nodes)
            && self.floor_head() == before.floor_head()
            && self.floor_tokens_until() == before.floor_tokens_until()
    }

    /// The facts that hold in this state and not in `before`, which is an earlier one of the same log, or empty.
    pub fn floor_changes<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = FloorFact> + 'a {
        let (now, then) = (self.floor_head(), before.floor_head());
        let head = if now == then { None } else { now };
        let listed = self.revocations.listed_since(&before.revocations);
        let unseen = self.revocations.unseen_since(&before.revocations);
        let keys = before.keyring.diff(&self.keyring).filter_map(|item| match item {
            DiffItem::Add(_, key) => Some(FloorFact::Key(Box::new(shown(key)))),
            DiffItem::Update { old: (_, old), new: (_, new) } => {
                (shown(old) != shown(new)).then(|| FloorFact::Key(Box::new(shown(new))))
            }
            // A key that was ever in the keyring stays in it.
            DiffItem::Remove(..) => None,
        });
        (head.map(|head| FloorFact::Head(Box::new(head))).into_iter())
            .chain(listed)
            .chain(unseen)
            .chain(marks(self, before))
            .chain(keys)
            .chain(people(self, before))
            .chain(trust(self, before))
            .chain(nodes(self, before))
    }

    pub(crate) fn floor_head(&self) -> Option<FloorHead> {
        let cluster = self.cluster.as_ref()?;
        Some(FloorHead {
            service_id: cluster.service_id.clone(),
            generation: cluster.generation,
            feature_level: self.feature_level,
            required: self.config.revocation_floor_required,
            marks: self.floor_marks,
            config_version: self.config_version,
            plain_secs: self.plain_secs(),
        })
    }

    /// The second after which no token lives that is recorded; the largest number if one lives for ever.
    #[must_use]
    pub fn floor_tokens_until(&self) -> u64 {
        let last = self.tokens.places(Order::Expiry).get_max().map_or(0, |(expiry, _)| *expiry);
        let grace = unsigned(self.config.clock_leeway);
        last.saturating_add(grace).checked_next_multiple_of(DAY_SECS).unwrap_or(u64::MAX)
    }
}

/// In the order in which they were set: later ones cut into earlier ones.
fn marks<'a>(now: &'a State, before: &'a State) -> impl Iterator<Item = FloorFact> + 'a {
    let mut marks = now.watermarks.since(&before.watermarks);
    marks.sort_by_key(|(_, mark): &(_, Watermark)| mark.index);
    marks.into_iter().map(|(whom, mark)| FloorFact::Mark { whom, mark })
}

fn people<'a>(now: &'a State, before: &'a State) -> impl Iterator<Item = FloorFact> + 'a {
    let fact = |user: &crate::record::User| {
        let super::Person { enabled, created_index } = person(user);
        FloorFact::User { name: user.name.clone(), enabled, created_index }
    };
    before.users.diff(&now.users).filter_map(move |item| match item {
        DiffItem::Add(_, user) => Some(fact(user)),
        DiffItem::Update { old: (_, old), new: (_, new) } => (person(old) != person(new)).then(|| fact(new)),
        DiffItem::Remove(name, _) => Some(FloorFact::UserGone(name.clone())),
    })
}

fn trust<'a>(now: &'a State, before: &'a State) -> impl Iterator<Item = FloorFact> + 'a {
    let trusted = before.circle.diff(&now.circle).filter_map(|item| match item {
        DiffItem::Add(kid, issuer) => {
            Some(FloorFact::Trusted { kid: kid.clone(), since_index: issuer.since_index })
        }
        DiffItem::Update { old: (_, old), new: (kid, new) } => (old.since_index != new.since_index)
            .then(|| FloorFact::Trusted { kid: kid.clone(), since_index: new.since_index }),
        DiffItem::Remove(kid, _) => Some(FloorFact::TrustedGone(kid.clone())),
    });
    let distrusted = before.distrusted.diff(&now.distrusted).map(|item| match item {
        DiffItem::Add(kid, index) | DiffItem::Update { new: (kid, index), .. } => {
            FloorFact::Distrusted { kid: kid.clone(), index: *index }
        }
        DiffItem::Remove(kid, _) => FloorFact::DistrustedGone(kid.clone()),
    });
    trusted.chain(distrusted)
}

fn nodes<'a>(now: &'a State, before: &'a State) -> impl Iterator<Item = FloorFact> + 'a {
    before.nodes.diff(&now.nodes).filter_map(|item| match item {
        DiffItem::Add(id, node) => Some(FloorFact::Node { id: *id, name: node.record.name.clone() }),
        DiffItem::Update { old: (_, old), new: (id, new) } => (old.record.name != new.record.name)
            .then(|| FloorFact::Node { id: *id, name: new.record.name.clone() }),
        DiffItem::Remove(id, _) => Some(FloorFact::NodeGone(*id)),
    })
}

/// What is in the second set and not in the first.
pub(crate) fn added<'a, T: Ord + Clone>(
    before: &'a imbl::OrdSet<T>,
    now: &'a imbl::OrdSet<T>,
) -> impl Iterator<Item = &'a T> + 'a {
    before.diff(now).filter_map(|item| match item {
        ordset::DiffItem::Add(value) => Some(value),
        ordset::DiffItem::Remove(_) => None,
    })
}

/// The entries of the second map that the first doesn't have like that.
pub(crate) fn set_or_changed<'a, K: Ord, V: PartialEq>(
    before: &'a OrdMap<K, V>,
    now: &'a OrdMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> + 'a {
    before.diff(now).filter_map(|item| match item {
        DiffItem::Add(key, value) | DiffItem::Update { new: (key, value), .. } => Some((key, value)),
        DiffItem::Remove(..) => None,
    })
}
