//! Groups.

use std::{collections::BTreeSet, sync::Arc};

use circlet_token::UserName;

use super::{Applied, below_limit};
use crate::{
    command::{DeleteGroup, PutGroup, PutMode},
    outcome::Outcome,
    policy::fits,
    record::User,
    refusal::Refusal,
    state::State,
};

impl State {
    pub(super) fn put_group(&mut self, put: &PutGroup) -> Applied {
        let (group, config) = (&put.group, &self.config);
        let name = &group.name;
        match (self.groups.contains_key(name), put.mode) {
            (true, PutMode::Create) => return Err(Refusal::GroupExists { name: name.clone() }),
            (false, PutMode::Update) => return Err(Refusal::GroupUnknown { name: name.clone() }),
            (true, _) => {}
            (false, _) => below_limit(self.groups.len(), "limits.groups-max", config.groups_max)?,
        }
        if name.is_empty() {
            return Err(Refusal::Empty { what: "the group's name".to_owned() });
        }
        for (what, text) in
            [("the name", name), ("the realm", &group.realm), ("realm attributes", &group.realm_attributes)]
        {
            fits(what, text.len(), "limits.text-bytes-max", config.text_bytes_max)?;
        }
        let described = group.description.len();
        fits("the description", described, "limits.description-bytes-max", config.description_bytes_max)?;
        let unknown = put.members.iter().flatten().find(|member| !self.users.contains_key(*member));
        if let Some(member) = unknown {
            return Err(Refusal::UserUnknown { name: member.clone() });
        }
        let mut after = self.clone();
        after.groups.insert(name.clone(), Arc::new(group.clone()));
        if let Some(members) = &put.members {
            after.set_members_of(name, members);
        }
        self.unless_leaderless(after, name)
    }

    pub(super) fn delete_group(&mut self, delete: &DeleteGroup) -> Applied {
        let name = &delete.name;
        if !self.groups.contains_key(name) {
            return Ok(Outcome::NotFound { what: format!("group {name}") });
        }
        let mut after = self.clone();
        after.set_members_of(name, &BTreeSet::new());
        after.groups.remove(name);
        self.unless_leaderless(after, name)
    }

    /// Take the state after a change of a group, unless nobody would administer the cluster any more.
    fn unless_leaderless(&mut self, after: Self, name: &str) -> Applied {
        if self.any_administrator() && !after.any_administrator() {
            return Err(Refusal::LastAdministratorGroup { name: name.to_owned() });
        }
        *self = after;
        Ok(Outcome::Done)
    }

    fn set_members_of(&mut self, group: &str, members: &BTreeSet<UserName>) {
        let differs = |user: &&Arc<User>| user.groups.contains(group) != members.contains(&user.name);
        let changed: Vec<Arc<User>> = self.users.values().filter(differs).cloned().collect();
        for user in changed {
            let mut user = user.as_ref().clone();
            if !user.groups.remove(group) {
                user.groups.insert(group.to_owned());
            }
            self.users.insert(user.name.clone(), Arc::new(user));
        }
    }
}
