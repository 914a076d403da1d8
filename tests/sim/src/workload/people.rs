//! Users and groups that change while their tokens live.

use std::collections::BTreeSet;
use std::sync::Arc;

use circlet_authority::{Action, DeleteUser, Outcome, PutUser, UserStatus};

use super::{Workload, groups};
use crate::cluster::Computer;
use crate::history::Event;
use crate::house;
use crate::linear::value::{self, ABSENT, DISABLED, GOOD};
use crate::linear::{Object, Step};
use crate::mark::Mark;
use crate::runtime::global_nanos;

impl Workload {
    /// An administrator changes somebody, or a group.
    pub(super) async fn change_person(&self, computer: &Computer) {
        let user = self.dice.pick(&house::USERS).copied().unwrap_or("alice");
        let group = self.dice.pick(&house::GROUPS).copied().unwrap_or("readers");
        match self.dice.between(0, 9) {
            0 => self.delete_user(computer, user).await,
            1 => {
                let told = value::Step::Write(DISABLED);
                self.put_user(computer, user, "user disabled", disabled(user), told).await;
            }
            2 => {
                let groups = Some(BTreeSet::from([group.to_owned()]));
                let put = PutUser { groups, ..house::person(user) };
                let told = value::Step::Touch;
                self.put_user(computer, user, "user into a group", put, told).await;
            }
            3..=4 => self.write_group(computer, group, user).await,
            5 => self.delete_group(computer, group).await,
            // Rather often, so that there is somebody to issue tokens for.
            _ => {
                let status = Some(UserStatus::Enabled);
                let put = PutUser { status, ..house::person(user) };
                let told = value::Step::Write(GOOD);
                self.put_user(computer, user, "user enabled", put, told).await;
            }
        }
    }

    async fn put_user(
        &self,
        computer: &Computer,
        user: &'static str,
        what: &'static str,
        put: PutUser,
        step: value::Step,
    ) {
        let into = put.groups.clone().unwrap_or_default();
        let mut told = vec![(Object::User(user), Step::Value(step))];
        told.extend(groups::moved(user, &into));
        let _ = self.order_told(computer, what, Action::PutUser(Box::new(put)), &told).await;
    }

    /// Whoever has that name later does not inherit the tokens.
    async fn delete_user(&self, computer: &Computer, user: &'static str) {
        let delete = Action::DeleteUser(DeleteUser { name: house::name(user) });
        let (subject, sent) = (self.number_of(user), global_nanos());
        let mut told = vec![(Object::User(user), Step::Value(value::Step::Write(ABSENT)))];
        told.extend(groups::removed(user));
        let done = self.order_told(computer, "user deleted", delete, &told).await;
        // What was not there ended nothing: it may be somebody's name all the same, who has tokens for a group.
        if let Some((_, index)) = done.filter(|(outcome, _)| !matches!(outcome, Outcome::NotFound { .. })) {
            self.cluster.history.tell(&Event::Watermark { subject, index });
            let subject = house::subject(&self.cluster.service, user);
            self.tell_mark_abroad(&Arc::new(Mark::on_subject(&subject, index)));
        }
        // That it may have is always true.
        self.record_end_of(subject, sent, false);
    }
}

fn disabled(user: &str) -> PutUser {
    PutUser { status: Some(UserStatus::Disabled), ..house::person(user) }
}
