//! Who may have which token (contract sections 1.4, 1.6 and 1.8).

use circlet_token::{Audience, Lifetime, Scope, ScopeItem, Subject, UserName};

use super::forbidden;
use crate::{
    command::{Actor, IssueToken},
    config::unsigned,
    record::Generation,
    refusal::Refusal,
    rights::Rights,
    state::State,
};

impl State {
    pub(super) fn may_issue(
        &self,
        actor: &Actor,
        rights: &Rights,
        issue: &IssueToken,
    ) -> Result<(), Refusal> {
        let machine = matches!(actor, Actor::System | Actor::Operator);
        if rights.foreign || (rights.transient && !machine) {
            return Err(forbidden(
                "creating a token",
                "only users of this cluster may; transient and foreign ones may not",
            ));
        }
        if !machine && issue.owner != rights.user {
            return Err(forbidden(
                "creating a token in another user's name",
                "the owner is the user who asks",
            ));
        }
        self.check_form(&issue.scope, &issue.audience, issue.description.as_deref())?;
        // Before anything is said of the subject: whether another user exists is not for everyone to learn.
        if let Some(user) = rights.user.as_ref().filter(|_| !rights.admin)
            && issue.subject.user_name() != Some(user.as_str())
        {
            let requested = issue.subject.user_name().unwrap_or_else(|| issue.subject.as_str()).to_owned();
            return Err(Refusal::OnlyForSelf { asked_by: user.clone(), requested });
        }
        self.check_subject(&issue.subject, &issue.scope)?;
        self.check_scope(&issue.scope)?;
        if rights.admin {
            return Ok(());
        }
        let Some(user) = &rights.user else {
            return Err(forbidden("creating a token", "only users of this cluster may"));
        };
        self.scope_within(rights, user, &issue.scope)?;
        self.bounded(rights, issue.generation, issue.lifetime)
    }

    /// Limits on texts; the same for everyone.
    pub(crate) fn check_form(
        &self,
        scope: &Scope,
        audience: &Audience,
        description: Option<&str>,
    ) -> Result<(), Refusal> {
        let config = &self.config;
        let scope_length = scope.to_string().len();
        let audience_length = audience.to_string().len();
        let description_length = description.map_or(0, str::len);
        fits("scope", scope_length, "limits.scope-bytes-max", config.scope_bytes_max)?;
        fits("audience", audience_length, "limits.audience-bytes-max", config.audience_bytes_max)?;
        fits(
            "description",
            description_length,
            "limits.description-bytes-max",
            config.description_bytes_max,
        )?;
        let entries = unsigned(config.audience_entries_max);
        if u64::try_from(audience.entries().len()).unwrap_or(u64::MAX) > entries {
            return Err(Refusal::LimitReached {
                limit: "limits.audience-entries-max".to_owned(),
                max: entries,
            });
        }
        Ok(())
    }

    /// The subject is one of ours, and its user, if there is one, is enabled. One that is no user needs a scope that means
    /// something without one.
    fn check_subject(&self, subject: &Subject, scope: &Scope) -> Result<(), Refusal> {
        let Some(here) = self.service_id() else { return Err(Refusal::NotBootstrapped) };
        if !self.is_us(subject.service()) {
            return Err(Refusal::ForeignSubject { subject: subject.clone(), here: here.clone() });
        }
        let insufficient = || Refusal::InsufficientScope { scope: scope.to_string() };
        let name = subject.user_name().map(UserName::parse).transpose();
        let name =
            name.map_err(|malformed| forbidden("a token for this user name", &malformed.to_string()))?;
        match name.as_ref().and_then(|name| self.users.get(name)) {
            Some(user) if !user.is_enabled() => Err(Refusal::UserDisabled { name: user.name.clone() }),
            Some(_) => {
                if scope.items().iter().all(|item| *item == ScopeItem::Api) {
                    Err(insufficient())
                } else {
                    Ok(())
                }
            }
            None if scope.is_user() => match name {
                Some(name) => Err(Refusal::UserUnknown { name }),
                None => Err(insufficient()),
            },
            None => {
                if scope.items().iter().any(means_something_alone) {
                    Ok(())
                } else {
                    Err(insufficient())
                }
            }
        }
    }

    /// Items that can never be used are refused at once, not at their first use.
    pub(crate) fn check_scope(&self, scope: &Scope) -> Result<(), Refusal> {
        for item in scope.items() {
            let (item, why) = match item {
                ScopeItem::ServiceAdmin(service) if !self.is_us(service) => {
                    (format!("{service}:admin"), "only this cluster's own service id may be named")
                }
                ScopeItem::Other(item) => (item.clone(), "this version does not know it"),
                _ => continue,
            };
            return Err(Refusal::ScopeUnaccepted { item, why: why.to_owned() });
        }
        Ok(())
    }

    /// A user's token gets no more than the caller has: groups that the caller's own scope names and in which the user is
    /// at this moment (a token for a group must not outlive the membership by issuing others), and the user's live
    /// rights only from a password or a token that has them.
    fn scope_within(&self, rights: &Rights, user: &UserName, scope: &Scope) -> Result<(), Refusal> {
        for item in scope.items() {
            let allowed = match item {
                ScopeItem::Api | ScopeItem::Groups(_) | ScopeItem::MemberOfGroups { all: false, .. } => true,
                ScopeItem::MemberOfGroups { all: true, .. } => rights.all_groups,
                ScopeItem::User => rights.whole_user,
                _ => false,
            };
            if !allowed {
                let item = scope.to_string();
                return Err(Refusal::ScopeForbidden { asked_by: user.clone(), item });
            }
        }
        let is_in = |group: &str| {
            rights.groups.contains(group)
                && self.users.get(user).is_some_and(|user| user.groups.contains(group))
        };
        let missing: Vec<&str> = scope.groups().filter(|group| !is_in(group)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Refusal::NotMember { asked_by: user.clone(), groups: missing.join(", ") })
    }

    /// The longest lifetime that someone who is no administrator may ask for.
    pub(super) fn bounded(
        &self,
        rights: &Rights,
        generation: Generation,
        lifetime: Lifetime,
    ) -> Result<(), Refusal> {
        let most = match generation {
            Generation::Legacy => self.config.non_admin_max_duration,
            Generation::Access => self.config.max_expiry,
        };
        let max = unsigned(most);
        if rights.admin || max == 0 || lifetime.secs().is_some_and(|life| life <= max) {
            return Ok(());
        }
        let Some(asked_by) = rights.user.clone() else {
            return Err(forbidden("this lifetime", "only users of this cluster may choose one"));
        };
        let requested = lifetime.secs().map_or_else(|| "never expiring".to_owned(), |life| life.to_string());
        Err(Refusal::ExpiryTooLong { asked_by, max, requested })
    }
}

/// Whether an item gives something to a subject that is no user.
fn means_something_alone(item: &ScopeItem) -> bool {
    match item {
        ScopeItem::Api | ScopeItem::User | ScopeItem::Other(_) => false,
        ScopeItem::MemberOfGroups { names, .. } | ScopeItem::Groups(names) => !names.is_empty(),
        _ => true,
    }
}

pub(crate) fn fits(what: &str, found: usize, limit: &str, max: i64) -> Result<(), Refusal> {
    let (found, max) = (u64::try_from(found).unwrap_or(u64::MAX), unsigned(max));
    if found <= max {
        return Ok(());
    }
    Err(Refusal::TooLong { what: what.to_owned(), found, limit: limit.to_owned(), max })
}
