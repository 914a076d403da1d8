//! Groups: writing and deleting them, and what is kept of who is in them.

use std::collections::BTreeSet;

use circlet_authority::{Action, DeleteGroup, Group, Outcome, PutGroup, PutMode, Refusal, State};
use circlet_token::UserName;
use sha2::{Digest, Sha256};

use super::Workload;
use crate::cluster::Computer;
use crate::house::{self, GROUPS, USERS};
use crate::linear::group::{self, Content, Members};
use crate::linear::value::{self, ABSENT};
use crate::linear::{Object, Step};
use crate::machine::first_word;

impl Workload {
    /// An administrator writes a group with one user in it.
    pub(super) async fn write_group(&self, computer: &Computer, name: &'static str, user: &str) {
        let members = BTreeSet::from([house::name(user)]);
        let description = format!("written as {:016x}", self.dice.word());
        let group = Group { description, auto_join: self.dice.percent(30), ..Group::new(name) };
        let step = group::Step::Write(content_of(&group), members_of(members.iter()));
        let put = PutGroup { group, mode: PutMode::CreateOrUpdate, members: Some(members) };
        let told = [(Object::Group(name), Step::Group(step))];
        let _ = self.order_told(computer, "group written", Action::PutGroup(Box::new(put)), &told).await;
    }

    /// An administrator deletes a group.
    pub(super) async fn delete_group(&self, computer: &Computer, name: &'static str) {
        let delete = Action::DeleteGroup(DeleteGroup { name: name.to_owned() });
        let told = [(Object::Group(name), Step::Group(group::Step::Delete))];
        let _ = self.order_told(computer, "group deleted", delete, &told).await;
    }

    /// Keeps what a view says of each group.
    pub(super) fn record_groups(&self, view: &State, sent: u64) {
        for name in GROUPS {
            let content = view.group(name).map(|group| content_of(group));
            let read = group::Step::Read(content, members_of(view.members(name)));
            self.record_now(Object::Group(name), Step::Group(read), sent);
        }
    }

    /// Keeps what a refusal says of somebody, or of a group, that is not there.
    pub(super) fn record_absence(&self, refusal: &Refusal, sent: u64) {
        match refusal {
            Refusal::GroupUnknown { name } => {
                if let Some(name) = GROUPS.into_iter().find(|group| group == name) {
                    self.record_now(Object::Group(name), Step::Group(group::Step::Absent), sent);
                }
            }
            Refusal::UserUnknown { name } => {
                if let Some(user) = USERS.into_iter().find(|user| *user == name.as_str()) {
                    let absent = Step::Value(value::Step::Read(ABSENT));
                    self.record_now(Object::User(user), absent, sent);
                }
            }
            _ => {}
        }
    }
}

/// What it means for each group that a user is put into these and no others.
pub(super) fn moved(user: &str, into: &BTreeSet<String>) -> impl Iterator<Item = (Object, Step)> {
    let place = place_of(user);
    GROUPS.into_iter().map(move |name| {
        let step = if into.contains(name) { group::Step::Join(place) } else { group::Step::Leave(place) };
        (Object::Group(name), Step::Group(step))
    })
}

/// What it means for each group that a user is removed.
pub(super) fn removed(user: &str) -> impl Iterator<Item = (Object, Step)> {
    let place = place_of(user);
    GROUPS.into_iter().map(move |name| (Object::Group(name), Step::Group(group::Step::Remove(place))))
}

/// What is kept of a step that this came of.
pub(super) fn with_outcome(step: Step, outcome: &Outcome) -> Step {
    match (step, outcome) {
        (Step::Group(group::Step::Delete), Outcome::NotFound { .. }) => Step::Group(group::Step::Absent),
        (step, _) => step,
    }
}

/// What is kept of a step of which nobody knows what came of it.
pub(super) fn unanswered(step: Step) -> Step {
    match step {
        Step::Group(group::Step::Delete) => Step::Group(group::Step::MaybeDelete),
        Step::Group(group::Step::Join(user)) => Step::Group(group::Step::MaybeJoin(user)),
        step => step,
    }
}

fn place_of(user: &str) -> usize {
    USERS.iter().position(|known| *known == user).unwrap_or(USERS.len())
}

fn members_of<'a>(names: impl Iterator<Item = &'a UserName>) -> Members {
    let names: BTreeSet<&str> = names.map(UserName::as_str).collect();
    USERS.map(|user| names.contains(user))
}

fn content_of(group: &Group) -> Content {
    let text = first_word(&Sha256::digest(group.description.as_bytes()));
    Content { text, auto_join: group.auto_join }
}
