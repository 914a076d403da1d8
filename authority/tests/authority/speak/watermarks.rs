//! Words about what is revoked together.

use std::error::Error;

use circlet_authority::{Action, RevokeBefore, Whom};
use goldenscript::ArgumentConsumer;

use super::{Said, flag, next, number, subject_of};
use crate::house::{House, OURS, START_MS, THEIRS, kid, service};

impl House {
    pub(super) fn revoke_before(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let revoke = everything(args)?;
        self.act(args, Action::RevokeBefore(revoke))
    }

    pub(super) fn would_end(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let revoke = everything(args)?;
        Ok(format!("{} recorded tokens", self.state.would_end(&revoke, self.now_secs())))
    }
}

/// `alice`, `key=k1`, `start=users/ci-`, `group=g` or `everyone=true`; with `since=` and `until=` in seconds from the start.
fn everything(args: &mut ArgumentConsumer<'_>) -> Result<RevokeBefore, Box<dyn Error>> {
    let (since, until) = (number(args, "since")?, number(args, "until")?);
    let service = service(if flag(args, "their")?.unwrap_or(false) { THEIRS } else { OURS });
    let whom = if let Some(label) = args.take_key("key") {
        Whom::Key(kid(label))
    } else if let Some(start) = args.take_key("start") {
        Whom::Subjects { service, start: start.to_owned() }
    } else if let Some(group) = args.take_key("group") {
        Whom::Group(group.to_owned())
    } else if flag(args, "everyone")?.unwrap_or(false) {
        Whom::Everyone
    } else {
        Whom::Subject(subject_of(next(args)?)?)
    };
    let second = |after: u64| START_MS / 1_000 + after;
    Ok(RevokeBefore { whom, since: since.map(second), until: until.map(second) })
}
