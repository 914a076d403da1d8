//! What was revoked together, as simply as it can be said: one revoke after the other, one token at a time.

use std::collections::BTreeSet;

use circlet_authority::{Action, Command, RevokeBefore, State, TokenRecord, Whom};
use circlet_token::Subject;

use super::user;
use crate::house::{OURS, kid, service};

/// Each revoke with its entry and those who were in its group then.
#[derive(Default)]
pub(super) struct Marks(Vec<(RevokeBefore, u64, BTreeSet<String>)>);

impl Marks {
    pub(super) fn note(&mut self, state: &State, command: &Command, index: u64) {
        let Action::RevokeBefore(revoke) = &command.action else { panic!("set by {command:?}") };
        let group = if let Whom::Group(group) = &revoke.whom { group.as_str() } else { "" };
        let members = state.members(group).map(ToString::to_string).collect();
        self.0.push((revoke.clone(), index, members));
    }

    pub(super) fn cover(&self, record: &TokenRecord) -> bool {
        self.0.iter().any(|(revoke, index, members)| {
            let meant = match &revoke.whom {
                Whom::Subject(subject) => record.subject == *subject,
                Whom::Key(key) => record.kid == *key,
                Whom::Subjects { start, .. } => record.subject.name().starts_with(start.as_str()),
                Whom::Group(group) => {
                    record.scope.groups().any(|claimed| claimed == group)
                        || record.subject.user_name().is_some_and(|name| members.contains(name))
                }
                Whom::Everyone => true,
            };
            meant
                && record.index < *index
                && revoke.since.is_none_or(|since| record.issued_at >= since)
                && revoke.until.is_none_or(|until| record.issued_at <= until)
        })
    }
}

pub(super) fn whom(who: u8, how: u8) -> Whom {
    match how {
        0 => Whom::Key(kid(&format!("k{}", who % 4))),
        1 => Whom::Subjects { service: service(OURS), start: "users/a".to_owned() },
        2 => Whom::Subjects { service: service(OURS), start: format!("users/{}", user(who)) },
        3 => Whom::Group(format!("g{}", who % 3)),
        4 => Whom::Everyone,
        _ => Whom::Subject(Subject::user(&service(OURS), &user(who))),
    }
}
