//! What a caller may do here, in effect.

use std::collections::BTreeSet;

use circlet_token::{KeyId, Scope, ServiceId, Subject, UserName, Verified};

use crate::{command::Actor, record::User, state::State};

/// Who a caller is: a name means nothing without the issuer that gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Principal {
    /// The service that vouches for the name; `None` only before the cluster's first entry.
    pub issuer: Option<ServiceId>,
    /// The user's name, or what else the subject says.
    pub name: String,
}

/// Effective rights, of a token or of a user with a password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact about the caller")]
pub struct Rights {
    /// Who it is.
    pub principal: Principal,
    /// Whether it administers this cluster.
    pub admin: bool,
    /// Groups of this cluster that it is in, as far as its scope says so.
    pub groups: BTreeSet<String>,
    /// The user of this cluster that it speaks for, if there is one.
    pub user: Option<UserName>,
    /// Whether it speaks for a name that is no user of this cluster.
    pub transient: bool,
    /// Whether another cluster vouches for it.
    pub foreign: bool,
    /// Whether it has all that its user has: a password, or `applied-permissions/user`.
    pub whole_user: bool,
    /// Whether it has all groups of its user.
    pub all_groups: bool,
}

impl State {
    /// The effective rights of a verified token. That the token is good is for [`State::judge`] to say.
    #[must_use]
    pub fn rights_of(&self, verified: &Verified) -> Rights {
        let claims = &verified.claims;
        self.rights_of_token(&claims.subject, &claims.scope, &verified.key, claims.index)
    }

    /// The effective rights of whoever gives a command.
    #[must_use]
    pub fn rights(&self, actor: &Actor) -> Rights {
        match actor {
            Actor::System => self.rights_of_machine("system", true),
            Actor::Operator => self.rights_of_machine("operator", true),
            Actor::RefreshPair => self.rights_of_machine("refresh", false),
            Actor::User { name } => self.rights_of_user(name),
            Actor::Token(token) => {
                self.rights_of_token(&token.subject, &token.scope, &token.key, token.index)
            }
        }
    }

    fn rights_of_machine(&self, name: &str, admin: bool) -> Rights {
        Rights {
            principal: Principal { issuer: self.service_id().cloned(), name: name.to_owned() },
            admin,
            groups: BTreeSet::new(),
            user: None,
            transient: false,
            foreign: false,
            whole_user: false,
            all_groups: false,
        }
    }

    /// The rights of a user of this cluster who gave a password; none for a name that is no user.
    #[must_use]
    pub fn rights_of_user(&self, name: &UserName) -> Rights {
        let user = self.users.get(name).filter(|user| user.is_enabled());
        Rights {
            principal: Principal { issuer: self.service_id().cloned(), name: name.to_string() },
            admin: user.is_some_and(|user| self.is_administrator(user)),
            groups: user.map(|user| user.groups.clone()).unwrap_or_default(),
            user: user.map(|user| user.name.clone()),
            transient: user.is_none(),
            foreign: false,
            whole_user: user.is_some(),
            all_groups: user.is_some(),
        }
    }

    fn rights_of_token(&self, subject: &Subject, scope: &Scope, key: &KeyId, index: Option<u64>) -> Rights {
        let name = subject.user_name().unwrap_or_else(|| subject.name()).to_owned();
        let principal = Principal { issuer: Some(subject.service().clone()), name };
        if self.is_us(subject.service()) && self.keyring.contains_key(key) {
            self.rights_of_own(principal, subject, scope, index)
        } else {
            self.rights_of_foreign(principal, scope, key)
        }
    }

    /// A token that is older than the user of its name was issued for a name without one, and stays that: whoever is
    /// created later inherits nothing, and lends it nothing.
    fn rights_of_own(
        &self,
        principal: Principal,
        subject: &Subject,
        scope: &Scope,
        index: Option<u64>,
    ) -> Rights {
        let user = subject
            .user_name()
            .and_then(|name| self.users.get(name))
            .filter(|user| user.is_enabled() && index.is_none_or(|index| index >= user.created_index));
        let mut groups = self.existing(scope.groups());
        if let Some(user) = user.filter(|_| scope.is_user() || scope.all_groups()) {
            groups.extend(user.groups.iter().cloned());
        }
        let own = subject.service();
        let live = user.is_some_and(|user| scope.is_user() && self.is_administrator(user));
        Rights {
            principal,
            admin: live || scope.is_admin(own) || self.any_administers(&groups),
            groups,
            user: user.map(|user| user.name.clone()),
            transient: user.is_none(),
            foreign: false,
            whole_user: user.is_some() && scope.is_user(),
            all_groups: user.is_some() && (scope.is_user() || scope.all_groups()),
        }
    }

    /// A foreign principal is none of our users; `*` and `applied-permissions/user` give it nothing, and admin is
    /// stripped however it came by it, unless its issuer's limits allow it.
    fn rights_of_foreign(&self, principal: Principal, scope: &Scope, key: &KeyId) -> Rights {
        let limits = self.circle.get(key).map(|issuer| &issuer.limits);
        let mut groups = match limits.and_then(|limits| limits.groups.as_ref()) {
            Some(ours) => {
                self.existing(scope.groups().filter_map(|theirs| ours.get(theirs)).map(String::as_str))
            }
            None => self.existing(scope.groups()),
        };
        let may_administer = limits.is_some_and(|limits| limits.admin);
        let administers =
            self.service_id().is_some_and(|own| scope.is_admin(own)) || self.any_administers(&groups);
        if !may_administer {
            groups.retain(|group| !self.administers(group));
        }
        Rights {
            principal,
            admin: may_administer && administers,
            groups: if limits.is_some() { groups } else { BTreeSet::new() },
            user: None,
            transient: true,
            foreign: true,
            whole_user: false,
            all_groups: false,
        }
    }

    fn existing<'a>(&self, groups: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        groups.filter(|group| self.groups.contains_key(*group)).map(str::to_owned).collect()
    }

    fn administers(&self, group: &str) -> bool {
        self.groups.get(group).is_some_and(|group| group.admin_privileges)
    }

    fn any_administers(&self, groups: &BTreeSet<String>) -> bool {
        groups.iter().any(|group| self.administers(group))
    }

    /// Whether a user administers this cluster, in person or through a group. Says nothing about being enabled.
    #[must_use]
    pub fn is_administrator(&self, user: &User) -> bool {
        user.admin || self.any_administers(&user.groups)
    }
}
