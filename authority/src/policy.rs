//! Who may do what. One function for the edge, which asks a view for good errors early, and for apply, which asks the
//! truth.

mod issue;

pub(crate) use issue::fits;

use circlet_token::{TokenId, UserName};

use crate::{
    command::{
        Action, Actor, PasswordChange, PutUser, RefreshOverrides, RefreshToken, RevokeTarget, RevokeToken,
        RotateKey, TokenActor, TurnMasterKey, Whom,
    },
    judge::{Facts, Judgement},
    record::TokenRecord,
    refusal::Refusal,
    rights::Rights,
    state::State,
};

impl State {
    /// Whether `actor` may do `action` as things stand in this state.
    ///
    /// # Errors
    /// The first rule that forbids it.
    pub fn authorize(&self, actor: &Actor, action: &Action) -> Result<(), Refusal> {
        if self.cluster.is_none() {
            let allowed = matches!((actor, action), (Actor::System | Actor::Operator, Action::Bootstrap(_)));
            return if allowed { Ok(()) } else { Err(Refusal::NotBootstrapped) };
        }
        self.standing(actor, action)?;
        let rights = self.rights(actor);
        match action {
            Action::IssueToken(issue) => self.may_issue(actor, &rights, issue),
            Action::RefreshToken(refresh) => self.may_refresh(actor, &rights, refresh),
            Action::RevokeToken(revoke) => self.may_revoke(actor, &rights, revoke),
            Action::RevokeBefore(revoke) => self.may_revoke_before(&rights, &revoke.whom, action),
            Action::PutUser(put) => {
                administrators_or(self.changes_own_profile(&rights, put), &rights, action)
            }
            // A purge vouches for a clock that only a node has.
            Action::Bootstrap(_)
            | Action::AdmitNode(_)
            | Action::AdmitByKey(_)
            | Action::Purge(_)
            | Action::NoteUse(_) => match actor {
                Actor::System | Actor::Operator => Ok(()),
                _ => Err(forbidden(action.name(), "only the node itself does that")),
            },
            Action::SetCircleKey(_)
            | Action::FollowFeed(_)
            | Action::NoteTaken(_)
            | Action::RevokeForMember(_)
            | Action::ReplaceSecrets(_)
            | Action::FeatureLevel(_) => nodes_only(actor, action),
            Action::TurnMasterKey(turn) if !matches!(**turn, TurnMasterKey::Announce { .. }) => {
                nodes_only(actor, action)
            }
            Action::RotateKey(rotate) if matches!(**rotate, RotateKey::Confirm { .. }) => match actor {
                Actor::System => Ok(()),
                _ => Err(forbidden("confirming a key", "only the node itself does that")),
            },
            _ => administrators_or(false, &rights, action),
        }
    }

    /// Whether the actor still is what the credential said.
    fn standing(&self, actor: &Actor, action: &Action) -> Result<(), Refusal> {
        match actor {
            Actor::System | Actor::Operator => Ok(()),
            Actor::RefreshPair => match action {
                Action::RefreshToken(_) => Ok(()),
                _ => Err(forbidden(action.name(), "a refresh token is a credential for refreshing only")),
            },
            Actor::User { name } => match self.users.get(name) {
                None => Err(Refusal::ActorUnknown { name: name.clone() }),
                Some(user) if user.is_enabled() => Ok(()),
                Some(_) => Err(Refusal::UserDisabled { name: name.clone() }),
            },
            Actor::Token(token) if self.opens_pair(token, action) => Ok(()),
            Actor::Token(token) => self.token_standing(token),
        }
    }

    fn token_standing(&self, token: &TokenActor) -> Result<(), Refusal> {
        let now = self.now_secs();
        if let Some(at) = token.expires_at.filter(|at| *at <= now) {
            return Err(Refusal::ActorExpired { at });
        }
        match self.judge_facts(&Facts::of_actor(token), now) {
            Judgement::Good { .. } => Ok(()),
            Judgement::Revoked(why) => Err(Refusal::ActorRevoked { why: why.to_string() }),
            Judgement::Distrusted { kid } if self.is_us(token.issuer()) => Err(Refusal::KeyUnknown { kid }),
            Judgement::Distrusted { kid } => Err(Refusal::IssuerUnknown { kid }),
        }
    }

    /// The pair suffices for a refresh that changes nothing; a change needs a credential of its own.
    fn may_refresh(&self, actor: &Actor, rights: &Rights, refresh: &RefreshToken) -> Result<(), Refusal> {
        let paired = match actor {
            Actor::RefreshPair => true,
            Actor::Token(token) => token.id.is_some() && token.id == refresh.access,
            _ => false,
        };
        let current = self.families.get(&refresh.family).and_then(|family| self.tokens.get(&family.current));
        let changes = self.changes(refresh);
        if changes.is_empty() && paired {
            return Ok(());
        }
        if matches!(actor, Actor::RefreshPair) {
            return Err(forbidden(
                "changing a token at its refresh",
                "authenticate as its user or as an administrator",
            ));
        }
        if rights.admin && !rights.foreign {
            return Ok(());
        }
        if changes.scope.is_some() || changes.audience.is_some() {
            return Err(forbidden("changing scope or audience at a refresh", "only administrators may"));
        }
        // An unknown family is told apart later, and tells a stranger nothing.
        let own = current.is_none_or(|record| self.owns(rights, record));
        if !own && !paired {
            return Err(forbidden(
                "refreshing a token of another user",
                "only its user and administrators may",
            ));
        }
        match (changes.lifetime, current) {
            // Who is no user keeps within what an administrator once gave.
            (Some(lifetime), Some(record)) if rights.user.is_none() && lifetime > record.lifetime => {
                Err(forbidden("a longer lifetime at a refresh", "only users of this cluster may choose one"))
            }
            (Some(lifetime), Some(record)) if rights.user.is_some() => {
                self.bounded(rights, record.generation, lifetime)
            }
            _ => Ok(()),
        }
    }

    fn may_revoke(&self, actor: &Actor, rights: &Rights, revoke: &RevokeToken) -> Result<(), Refusal> {
        if rights.foreign {
            return Err(forbidden("revoking a token", "only principals of this cluster may; ask the issuer"));
        }
        let itself = |id: &TokenId| matches!(actor, Actor::Token(token) if token.id == Some(*id));
        let recorded_own = |id: &TokenId| self.tokens.get(id).is_some_and(|record| self.owns(rights, record));
        let own = match &revoke.target {
            RevokeTarget::Id(id) => itself(id) || recorded_own(id),
            RevokeTarget::Value(token) => {
                itself(&token.id) || recorded_own(&token.id) || is_own_user(rights, token.subject.user_name())
            }
            RevokeTarget::Family { family, .. } => self
                .families
                .get(family)
                .is_some_and(|family| itself(&family.current) || recorded_own(&family.current)),
        };
        if own || rights.admin {
            return Ok(());
        }
        Err(forbidden("revoking this token", "only its user and administrators may"))
    }

    /// Users end what was issued to them here; whoever has the same name elsewhere is somebody else.
    fn may_revoke_before(&self, rights: &Rights, whom: &Whom, action: &Action) -> Result<(), Refusal> {
        if rights.foreign {
            return Err(forbidden(action.name(), "only principals of this cluster may; ask the issuer"));
        }
        let own = match whom {
            Whom::Subject(subject) => {
                self.is_us(subject.service()) && is_own_user(rights, subject.user_name()) && rights.whole_user
            }
            Whom::Key(_) | Whom::Subjects { .. } | Whom::Group(_) | Whom::Everyone => false,
        };
        administrators_or(own, rights, action)
    }

    /// What a refresh asks to be different from what the family's token is: clients that repeat its parameters change
    /// nothing, and a repeated refresh asks for what its successor has already.
    pub(crate) fn changes(&self, refresh: &RefreshToken) -> RefreshOverrides {
        let asked = &refresh.overrides;
        let current = self.families.get(&refresh.family).and_then(|family| self.tokens.get(&family.current));
        let Some(current) = current else { return asked.clone() };
        RefreshOverrides {
            lifetime: asked.lifetime.filter(|lifetime| *lifetime != current.lifetime),
            scope: asked.scope.clone().filter(|scope| *scope != current.scope),
            audience: asked.audience.clone().filter(|audience| *audience != current.audience),
        }
    }

    /// A refresh presents its access token, which may have expired, been rotated out or lost its key: it opens the refresh
    /// of its own family, or the replay, and only that. Whether the pair belongs together is decided with the family.
    fn opens_pair(&self, token: &TokenActor, action: &Action) -> bool {
        let Action::RefreshToken(refresh) = action else { return false };
        token.id.is_some() && token.id == refresh.access && self.changes(refresh).is_empty()
    }

    /// Whether a recorded token belongs to the caller's user. What was issued before that user was created belongs to an
    /// earlier one of the name, or to nobody.
    #[must_use]
    pub fn owns(&self, rights: &Rights, record: &TokenRecord) -> bool {
        let user = rights.user.as_ref().filter(|_| !rights.foreign).and_then(|name| self.users.get(name));
        user.is_some_and(|user| {
            let named = record.owner.as_ref() == Some(&user.name)
                || record.subject.user_name() == Some(user.name.as_str());
            named && record.index >= user.created_index
        })
    }

    /// A user may change the own mail address and password, and nothing else, unless an administrator forbade it.
    fn changes_own_profile(&self, rights: &Rights, put: &PutUser) -> bool {
        let user = rights.user.as_ref().filter(|name| **name == put.name && rights.whole_user);
        let allowed = user.and_then(|name| self.users.get(name)).is_some_and(|user| user.profile_updatable);
        let rest = PutUser { email: None, password: PasswordChange::Keep, ..put.clone() };
        allowed && rest == PutUser::new(put.name.clone(), put.mode) && put.password != PasswordChange::Clear
    }
}

fn is_own_user(rights: &Rights, name: Option<&str>) -> bool {
    !rights.foreign && name.is_some() && rights.user.as_ref().map(UserName::as_str) == name
}

fn nodes_only(actor: &Actor, action: &Action) -> Result<(), Refusal> {
    match actor {
        Actor::System => Ok(()),
        _ => Err(forbidden(action.name(), "only the node itself does that")),
    }
}

fn administrators_or(allowed: bool, rights: &Rights, action: &Action) -> Result<(), Refusal> {
    if allowed || rights.admin { Ok(()) } else { Err(forbidden(action.name(), "only administrators may")) }
}

fn forbidden(asked: &str, allowed: &str) -> Refusal {
    Refusal::Forbidden { asked: asked.to_owned(), allowed: allowed.to_owned() }
}
