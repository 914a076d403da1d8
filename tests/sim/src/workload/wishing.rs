//! What is asked for beside a refresh, and by whom: by those who may have it, and by those who may not.

use circlet_authority::{Actor, RefreshOverrides, TokenRecord};
use circlet_token::{Audience, Scope, TokenId};

use super::references::reference_of;
use super::{Held, Workload, administrator};
use crate::asked::Asked;
use crate::house;
use crate::plant::Plant;

/// A refresh, as somebody means it.
#[derive(Clone)]
pub(super) struct Wish {
    pub(super) actor: Actor,
    pub(super) changes: RefreshOverrides,
    pub(super) shows_access: bool,
    /// By its reference token.
    pub(super) shows_reference: bool,
    /// With a reference token, or without one though the token before came with one.
    pub(super) reference: bool,
}

impl Wish {
    /// What the request is known by, as the product makes it.
    pub(super) fn digest(&self, held: &Held, plant: Plant) -> [u8; 32] {
        let asked = Asked {
            refresh_token: &format!("{:?}", held.record.family),
            access: self.access(held),
            scope: self.changes.scope.as_ref().map(Scope::as_str),
            audience: self.changes.audience.as_ref().map(Audience::as_str),
            lifetime: self.changes.lifetime,
            reference: self.reference,
        };
        asked.digest(if plant == Plant::AnyonesRepeat { &Actor::RefreshPair } else { &self.actor })
    }

    /// The access token that comes with it.
    pub(super) fn access(&self, held: &Held) -> Option<TokenId> {
        self.shows_access.then_some(held.record.id)
    }

    /// The same request, by whoever has the pair and nothing else.
    pub(super) fn by_the_pair(&self) -> Self {
        Self { actor: Actor::RefreshPair, ..self.clone() }
    }

    /// Whether it takes more than the pair.
    pub(super) fn asks_for_more(&self) -> bool {
        self.actor != Actor::RefreshPair && !self.changes.is_empty()
    }
}

impl Workload {
    /// At times without the access token, or with another scope, audience or lifetime: administrators may have that, a user
    /// another lifetime, and the pair alone doesn't suffice for any.
    pub(super) fn wish(&self, held: &Held) -> Wish {
        let shows_access = self.dice.percent(80);
        // As long as it is asked for with what came with it, the request stays the same.
        let reference = held.record.reference.is_some() != self.dice.percent(10);
        let user = held.record.subject.user_name().unwrap_or("alice");
        let other = || house::USERS.iter().copied().find(|other| *other != user).unwrap_or("carol");
        let (what, actor, changes) = match self.dice.between(0, 99) {
            0..=9 => ("refresh with changes", administrator(), self.changes(held)),
            10..=12 => ("refresh by the pair, with changes", Actor::RefreshPair, self.changes(held)),
            13..=15 => {
                let lifetime = Some(self.longer());
                let changes = RefreshOverrides { lifetime, ..RefreshOverrides::default() };
                ("refresh by its user, with another lifetime", self.user_or_bearer(held, user), changes)
            }
            16 => ("refresh by its user, with changes", self.user_or_bearer(held, user), self.changes(held)),
            17 => {
                let changes =
                    if self.dice.percent(50) { self.changes(held) } else { RefreshOverrides::default() };
                ("refresh by another user", Actor::User { name: house::name(other()) }, changes)
            }
            _ => ("refresh by the pair", Actor::RefreshPair, RefreshOverrides::default()),
        };
        self.count(what);
        if !shows_access {
            self.count("refresh without the access token");
        }
        let shows_reference = shows_access && held.record.reference.is_some() && self.dice.percent(50);
        if shows_reference {
            self.count("refresh by reference");
        }
        Wish { actor, changes, shows_access, shows_reference, reference }
    }

    fn user_or_bearer(&self, held: &Held, user: &str) -> Actor {
        if self.dice.percent(40) {
            self.bearer(&held.record)
        } else {
            Actor::User { name: house::name(user) }
        }
    }

    /// At least one thing that is to be different, as a rule: chance may wish for what is there already.
    fn changes(&self, held: &Held) -> RefreshOverrides {
        let which = self.dice.between(1, 7);
        let service = &self.cluster.service;
        let audiences = || [Audience::any(), Audience::parse("jfrt@*").expect("it is written as one")];
        let audience = || match self.dice.pick(&audiences()) {
            Some(audience) if *audience != held.record.audience => audience.clone(),
            _ => Audience::service(service),
        };
        RefreshOverrides {
            lifetime: (which & 1 != 0).then(|| self.longer()),
            scope: (which & 2 != 0).then(|| self.scope()),
            audience: (which & 4 != 0).then(audience),
        }
    }

    /// Holds a successor against what was asked for, and counts what is different. Whether it may be is judged where it is
    /// applied.
    pub(super) fn check_successor(&self, old: &TokenRecord, successor: &TokenRecord, wish: &Wish) {
        for (what, differs) in [
            ("scope changed at a refresh", successor.scope != old.scope),
            ("audience changed at a refresh", successor.audience != old.audience),
            ("lifetime changed at a refresh", successor.lifetime != old.lifetime),
        ] {
            if differs {
                self.count(what);
            }
        }
        let RefreshOverrides { lifetime, scope, audience } = &wish.changes;
        let asked = (
            lifetime.unwrap_or(old.lifetime),
            scope.as_ref().unwrap_or(&old.scope),
            audience.as_ref().unwrap_or(&old.audience),
            wish.reference.then(|| reference_of(successor.id)),
        );
        let given = (successor.lifetime, &successor.scope, &successor.audience, successor.reference);
        if given != asked {
            let what = format!("{}, which follows {}, isn't what was asked for", successor.id, old.id);
            self.cluster.history.accuse("one-successor", what);
        }
    }
}
