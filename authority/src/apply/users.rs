//! Users.

use std::{collections::BTreeSet, sync::Arc};

use circlet_token::{Subject, UserName};

use super::{Applied, below_limit};
use crate::{
    command::{DeleteUser, PasswordChange, PutMode, PutUser, Whom},
    outcome::Outcome,
    policy::fits,
    record::{INTERNAL_REALM, User, UserStatus},
    refusal::Refusal,
    state::State,
};

impl State {
    pub(super) fn put_user(&mut self, put: &PutUser) -> Applied {
        let name = &put.name;
        let before = self.users.get(name).cloned();
        match (before.is_some(), put.mode) {
            (true, PutMode::Create) => return Err(Refusal::UserExists { name: name.clone() }),
            (false, PutMode::Update) => return Err(Refusal::UserUnknown { name: name.clone() }),
            (true, _) => {}
            (false, _) => below_limit(self.users.len(), "limits.users-max", self.config.users_max)?,
        }
        for (what, text) in [("the mail address", &put.email), ("the realm", &put.realm)] {
            let length = text.as_ref().map_or(0, String::len);
            fits(what, length, "limits.text-bytes-max", self.config.text_bytes_max)?;
        }
        if let PasswordChange::Set(hash) = &put.password {
            fits("the password hash", hash.len(), "limits.text-bytes-max", self.config.text_bytes_max)?;
        }
        let unknown = put.groups.iter().flatten().find(|group| !self.groups.contains_key(*group));
        if let Some(group) = unknown {
            return Err(Refusal::GroupUnknown { name: group.clone() });
        }
        let user = match &before {
            Some(before) => changed(before.as_ref().clone(), put),
            None => self.joining(changed(self.new_user(name), put)),
        };
        let before_enabled = before.as_ref().map(|before| before.is_enabled());
        if before.is_some_and(|before| self.counts(&before))
            && !self.counts(&user)
            && !self.other_administrator(name)
        {
            return Err(Refusal::LastAdministrator { name: name.clone() });
        }
        if before_enabled != Some(user.is_enabled()) {
            self.people_changed();
        }
        self.users.insert(name.clone(), Arc::new(user));
        Ok(Outcome::Done)
    }

    fn new_user(&self, name: &UserName) -> User {
        User {
            name: name.clone(),
            email: String::new(),
            password_hash: None,
            admin: false,
            groups: BTreeSet::new(),
            status: UserStatus::Enabled,
            realm: INTERNAL_REALM.to_owned(),
            profile_updatable: true,
            internal_password_disabled: false,
            disable_ui_access: false,
            created_index: self.index,
        }
    }

    /// A new user is in the groups that all new users join.
    fn joining(&self, mut user: User) -> User {
        user.groups
            .extend(self.groups.values().filter(|group| group.auto_join).map(|group| group.name.clone()));
        user
    }

    /// The watermark keeps a later user of that name from inheriting tokens.
    pub(super) fn delete_user(&mut self, delete: &DeleteUser) -> Applied {
        let name = &delete.name;
        let Some(user) = self.users.get(name).cloned() else {
            return Ok(Outcome::NotFound { what: format!("user {name}") });
        };
        if self.counts(&user) && !self.other_administrator(name) {
            return Err(Refusal::LastAdministrator { name: name.clone() });
        }
        self.users.remove(name);
        self.people_changed();
        if let Some(service) = self.service_id() {
            let subject = Subject::user(service, name);
            let mark = self.watermark_now(None, None);
            self.set_watermark(&Whom::Subject(subject), mark);
        }
        Ok(Outcome::Done)
    }

    /// Whether a user is an administrator who can act.
    fn counts(&self, user: &User) -> bool {
        user.is_enabled() && self.is_administrator(user)
    }

    /// Whether somebody else administers the cluster.
    pub(super) fn other_administrator(&self, than: &UserName) -> bool {
        self.users.values().any(|user| user.name != *than && self.counts(user))
    }

    /// Whether anybody administers the cluster.
    pub(crate) fn any_administrator(&self) -> bool {
        self.users.values().any(|user| self.counts(user))
    }
}

fn changed(mut user: User, put: &PutUser) -> User {
    fn take<T: Clone>(place: &mut T, given: Option<&T>) {
        if let Some(given) = given {
            place.clone_from(given);
        }
    }
    take(&mut user.email, put.email.as_ref());
    take(&mut user.admin, put.admin.as_ref());
    take(&mut user.groups, put.groups.as_ref());
    take(&mut user.status, put.status.as_ref());
    take(&mut user.realm, put.realm.as_ref());
    take(&mut user.profile_updatable, put.profile_updatable.as_ref());
    take(&mut user.internal_password_disabled, put.internal_password_disabled.as_ref());
    take(&mut user.disable_ui_access, put.disable_ui_access.as_ref());
    match &put.password {
        PasswordChange::Keep => {}
        PasswordChange::Set(hash) => user.password_hash = Some(hash.clone()),
        PasswordChange::Clear => user.password_hash = None,
    }
    user
}
