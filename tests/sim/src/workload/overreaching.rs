//! Users who are no administrators, and ask for more than they may: with a password, or with a token of theirs.

use std::collections::BTreeSet;

use circlet_authority::{
    Action, Actor, DeclareLost, DeleteGroup, DeleteUser, DistrustIssuer, Group, IssueToken, MintJoinToken,
    PutGroup, PutMode, PutUser, Refusal, RevokeBefore, RevokeTarget, RevokeToken, RotateKey, SetConfig,
    TurnMasterKey, Whom,
};
use circlet_token::{Lifetime, Scope, TokenId};

use super::{Reply, Workload};
use crate::cluster::Computer;
use crate::history::Event;
use crate::house::{self, THEIRS};

impl Workload {
    /// A user asks for something that only administrators may have.
    pub(super) async fn overreach(&self, computer: &Computer) {
        self.count("overreach");
        let (actor, user) = self.someone();
        let others = house::USERS.iter().filter(|other| **other != user).copied().collect::<Vec<_>>();
        let other = self.dice.pick(&others).copied().unwrap_or("carol");
        let asked = match self.dice.between(0, 2) {
            0 => Some(self.beyond_tokens(&user, other)),
            1 => Some(self.beyond_people(&user, other)),
            _ => self.beyond_cluster(computer),
        };
        let Some((what, action)) = asked else { return };
        let reply = self.propose(computer, actor, action).await;
        if let Reply::Decided { outcome, index, .. } = reply {
            let done = outcome.refusal().is_none_or(|refusal| !forbids(refusal));
            self.cluster.history.tell(&Event::Overreached { what, done, index });
        }
    }

    /// Who asks: a user who gives a password, or shows a token for a user or a group.
    fn someone(&self) -> (Actor, String) {
        let bob = || (Actor::User { name: house::name("bob") }, "bob".to_owned());
        let Some(held) = self.some_token().filter(|_| self.dice.percent(60)) else { return bob() };
        let Some(user) = held.record.subject.user_name() else { return bob() };
        if user == house::ADMINISTRATOR || held.record.scope.to_string().contains("admin") {
            return bob();
        }
        (self.bearer(&held.record), user.to_owned())
    }

    fn beyond_tokens(&self, user: &str, other: &str) -> (&'static str, Action) {
        match self.dice.between(0, 5) {
            0..=2 => {
                let (what, order) = self.order_beyond(user, other, Lifetime::from_secs(600));
                (what, Action::IssueToken(Box::new(order)))
            }
            3 => {
                let whom = Whom::Subject(house::subject(&self.cluster.service, other));
                ("ending another user's tokens", Action::RevokeBefore(RevokeBefore::all_of(whom)))
            }
            4 => ("ending everybody's tokens", Action::RevokeBefore(RevokeBefore::all_of(Whom::Everyone))),
            _ => {
                // Nobody's, and so not one's own.
                let target = RevokeTarget::Id(TokenId(self.dice.bytes()));
                let revoke = RevokeToken { target, cascade: false };
                ("revoking a token of others", Action::RevokeToken(Box::new(revoke)))
            }
        }
    }

    /// What no user may have.
    pub(super) fn order_beyond(
        &self,
        user: &str,
        other: &str,
        lifetime: Lifetime,
    ) -> (&'static str, IssueToken) {
        let scoped = |scope: &str| {
            let scope = Scope::parse(scope).expect("it is written as one");
            IssueToken { scope, ..self.order(user, user, lifetime) }
        };
        match self.dice.between(0, 2) {
            0 => ("a token of an administrator", scoped("applied-permissions/admin")),
            1 => ("a token of another user", self.order(other, user, lifetime)),
            _ => ("a token for a group of others", scoped("applied-permissions/groups:nobodys")),
        }
    }

    fn beyond_people(&self, user: &str, other: &str) -> (&'static str, Action) {
        let group = self.dice.pick(&house::GROUPS).copied().unwrap_or("readers");
        match self.dice.between(0, 4) {
            0 => {
                let put = PutUser { admin: Some(true), ..PutUser::new(house::name(user), PutMode::Update) };
                ("becoming an administrator", Action::PutUser(Box::new(put)))
            }
            1 => {
                let put = PutUser::new(house::name(other), PutMode::Update);
                ("changing another user", Action::PutUser(Box::new(put)))
            }
            2 => ("deleting a user", Action::DeleteUser(DeleteUser { name: house::name(other) })),
            3 => {
                let members = Some(BTreeSet::from([house::name(user)]));
                let put = PutGroup { group: Group::new(group), mode: PutMode::CreateOrUpdate, members };
                ("writing a group", Action::PutGroup(Box::new(put)))
            }
            _ => ("deleting a group", Action::DeleteGroup(DeleteGroup { name: group.to_owned() })),
        }
    }

    fn beyond_cluster(&self, computer: &Computer) -> Option<(&'static str, Action)> {
        let (_, member) = computer.node()?;
        let view = std::sync::Arc::clone(&member.published().view);
        drop(member);
        let kid = || house::Pair::first(&self.cluster.service).kid;
        Some(match self.dice.between(0, 6) {
            0 => {
                let config = view.config().as_ref().clone();
                let set = SetConfig { config, if_version: None };
                ("setting the configuration", Action::SetConfig(Box::new(set)))
            }
            1 => {
                let taint = RotateKey::Taint { kid: kid(), next: None };
                ("tainting a key", Action::RotateKey(Box::new(taint)))
            }
            2 => {
                let hash = [u8::try_from(self.dice.between(0, 255)).unwrap_or(0); 32];
                ("letting a node join", Action::MintJoinToken(MintJoinToken { hash }))
            }
            3 => ("declaring a node lost", Action::DeclareLost(DeclareLost { node: computer.id })),
            4 => {
                let announce = TurnMasterKey::Announce {
                    fingerprint: house::seed(&format!("master key {}", self.dice.word())),
                    replaces: view.master_key_fingerprint()?,
                    node: computer.id,
                    patience_secs: 1,
                };
                ("turning the master key over", Action::TurnMasterKey(Box::new(announce)))
            }
            5 => ("trusting an issuer", Action::TrustIssuer(Box::new(THEIRS.first()?.as_theirs()))),
            _ => {
                let kid = THEIRS.first()?.kid.clone();
                ("distrusting an issuer", Action::DistrustIssuer(DistrustIssuer { kid }))
            }
        })
    }
}

/// Whether a refusal is for want of rights, and not because of something else that happens to be in the way.
fn forbids(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Forbidden { .. }
            | Refusal::ActorUnknown { .. }
            | Refusal::ActorExpired { .. }
            | Refusal::ActorRevoked { .. }
            | Refusal::KeyUnknown { .. }
            | Refusal::UserDisabled { .. }
            | Refusal::OnlyForSelf { .. }
            | Refusal::NotMember { .. }
            | Refusal::ExpiryTooLong { .. }
            | Refusal::ScopeForbidden { .. }
            | Refusal::ScopeUnaccepted { .. }
            | Refusal::InsufficientScope { .. }
    )
}
