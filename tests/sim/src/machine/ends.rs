//! What ends tokens together, as it is applied: watermarks, and users who may not be spoken for any more. Read off the
//! command, whatever the state makes of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use circlet_authority::{Action, Outcome, PutUser, RevokeBefore, State, UserStatus, Whom};
use circlet_token::{Subject, UserName};

use crate::history::Event;
use crate::mark::{Mark, Target, subject_number};
use crate::scope::Scope;

/// Tells what a command that was not refused has ended.
pub(super) fn tell(scope: &Scope, before: &State, index: u64, action: &Action, outcome: &Outcome) {
    match (action, outcome) {
        (Action::RevokeBefore(revoke), _) => tell_mark(scope, before, index, revoke),
        (Action::PutUser(put), _) => tell_put(scope, before, index, put),
        (Action::DeleteUser(delete), Outcome::Done) => tell_deleted(scope, before, index, &delete.name),
        _ => {}
    }
}

/// Tells a watermark that was set. Who is in a group is noted for whoever is told of it.
fn tell_mark(scope: &Scope, before: &State, index: u64, revoke: &RevokeBefore) {
    let (history, Some(service)) = (scope.history(), before.service_id()) else { return };
    let target = match &revoke.whom {
        Whom::Subject(subject) => Target::Subject(subject.to_string()),
        Whom::Key(kid) => Target::Key(kid.clone()),
        Whom::Subjects { service, start } => Target::Start(format!("{service}/{start}")),
        Whom::Group(name) => {
            let subject = |name: &UserName| Subject::user(service, name).to_string();
            let members: BTreeSet<String> = before.members(name).map(subject).collect();
            history.note_members(index, members.clone());
            Target::Group { name: name.clone(), members }
        }
        Whom::Everyone => Target::Everyone,
    };
    let (since, until) = (revoke.since.unwrap_or(0), revoke.until.unwrap_or(u64::MAX));
    history.tell(&Event::MarkHeld(Arc::new(Mark { target, index, since, until })));
}

/// Tells that a user was written.
fn tell_put(scope: &Scope, before: &State, index: u64, put: &PutUser) {
    let Some(service) = before.service_id() else { return };
    let subject = subject_number(Subject::user(service, &put.name).as_str());
    let enabled = put.status.map(|status| status == UserStatus::Enabled);
    scope.history().tell(&Event::UserPut { subject, index, enabled });
}

/// Tells that a user is gone: what was issued before has ended, and whoever has the name next is somebody new.
fn tell_deleted(scope: &Scope, before: &State, index: u64, name: &UserName) {
    let Some(service) = before.service_id() else { return };
    let subject = Subject::user(service, name);
    let number = subject_number(subject.as_str());
    scope.history().tell(&Event::MarkHeld(Arc::new(Mark::on_subject(&subject, index))));
    scope.history().tell(&Event::UserPut { subject: number, index, enabled: Some(true) });
}
