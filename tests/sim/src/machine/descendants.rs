//! What comes from a revoked token, as a state shows it: found apart from the product's own way through it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use circlet_authority::{Origin, RevokeTarget, RevokeToken, State, TokenRecord};
use circlet_token::TokenId;

use crate::history::{Descendant, Event};
use crate::linear::{Object, Operation, Step, token};
use crate::runtime::global_nanos;
use crate::scope::Scope;

/// Tells what an entry means for what was created with revoked tokens: with a revoke, what has to end sooner or later; and
/// what has ended by it. The first node that applies it does so for all.
pub(super) fn tell(scope: &Scope, before: &State, after: &State, revoke: Option<&RevokeToken>) {
    let (history, index) = (scope.history(), after.index());
    if !history.is_first_at(index) {
        return;
    }
    let issued = history.issued();
    if let Some(revoke) = revoke {
        let origin = match &revoke.target {
            RevokeTarget::Id(id) => origin_of(&issued, *id),
            RevokeTarget::Value(token) => origin_of(&issued, token.id),
            RevokeTarget::Family { family, .. } => Origin::Family(*family),
        };
        // Of an id that is forgotten nobody knows any more what was created with it.
        let known = match &revoke.target {
            RevokeTarget::Id(id) => knows(before, *id),
            RevokeTarget::Value(token) => knows(before, token.id),
            RevokeTarget::Family { .. } => true,
        };
        if known {
            history.note_descendants(index, Descent::of(before, &issued).from(origin));
        }
    }
    for record in issued.iter().filter(|record| has_ended(before, after, record)) {
        let (object, step) = (Object::of_token(record), Step::Token(token::Step::MaybeEnd));
        let operation = Operation { object, step, sent: global_nanos(), answered: None };
        history.tell(&Event::Operation(operation));
    }
}

/// Notes which tokens went by an entry that ends no descendants: what was created with them is out of reach from then on, and
/// where their families have ended, what was created with any token of these.
pub(super) fn tell_gone(scope: &Scope, before: &State, after: &State) {
    let (history, index) = (scope.history(), after.index());
    if !history.is_first_at(index) {
        return;
    }
    let issued = history.issued();
    let is_gone =
        |record: &TokenRecord| before.token(&record.id).is_some() && after.token(&record.id).is_none();
    let goes_on = |record: &TokenRecord| {
        let family = record.family.and_then(|(family, _)| after.family(&family));
        family.is_some_and(|family| family.ended_at.is_none())
    };
    let over: BTreeSet<Origin> = issued
        .iter()
        .filter(|record| is_gone(record) && !goes_on(record))
        .map(|record| record.as_origin())
        .collect();
    let gone = issued.iter().filter(|record| is_gone(record) || over.contains(&record.as_origin()));
    gone.for_each(|record| history.note_gone(record.id));
}

fn has_ended(before: &State, after: &State, record: &TokenRecord) -> bool {
    let lives = |state: &State| {
        let family = record.family.and_then(|(family, _)| state.family(&family));
        (state.token(&record.id).is_some(), family.is_some_and(|family| family.ended_at.is_none()))
    };
    let (token, family) = lives(before);
    (token || family) && lives(after) != (token, family)
}

fn knows(state: &State, id: TokenId) -> bool {
    state.token(&id).is_some() || state.was_revoked(&id)
}

fn origin_of(issued: &[Arc<TokenRecord>], id: TokenId) -> Origin {
    let record = issued.iter().find(|record| record.id == id);
    record.map_or(Origin::Token(id), |record| record.as_origin())
}

/// Who was created with whom, of those that a state has.
struct Descent<'a>(BTreeMap<Origin, Vec<&'a Arc<TokenRecord>>>);

impl<'a> Descent<'a> {
    fn of(state: &State, issued: &'a [Arc<TokenRecord>]) -> Self {
        let mut children: BTreeMap<Origin, Vec<&Arc<TokenRecord>>> = BTreeMap::new();
        for record in issued.iter().filter(|record| state.token(&record.id).is_some()) {
            if let Some(origin) = record.origin {
                children.entry(origin).or_default().push(record);
            }
        }
        Self(children)
    }

    fn from(&self, origin: Origin) -> Vec<Descendant> {
        let (mut seen, mut found) = (BTreeSet::from([origin]), Vec::new());
        let mut open = vec![(origin, Vec::new())];
        while let Some((origin, through)) = open.pop() {
            for record in self.0.get(&origin).into_iter().flatten() {
                let id = record.revocable.then_some(record.id);
                let family = record.family.map(|(family, _)| family);
                found.push(Descendant { id, family, through: through.clone() });
                if seen.insert(record.as_origin()) {
                    let through = through.iter().copied().chain([record.id]).collect();
                    open.push((record.as_origin(), through));
                }
            }
        }
        found
    }
}
