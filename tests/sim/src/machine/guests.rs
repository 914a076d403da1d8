//! What an entry changed of invitations: which there are, and who came with one.

use circlet_authority::{Action, ApproveMember, State};

use crate::circle::{number, said};
use crate::history::Event;
use crate::scope::Scope;

/// Tells what a command that was not refused has changed.
pub(super) fn tell(scope: &Scope, before: &State, after: &State, action: &Action) {
    let index = after.index();
    match action {
        Action::InviteMember(invite) => {
            let lasts = u64::try_from(before.config().circle_invite_expiry).unwrap_or(0);
            let (invite, guest) = (number(&invite.hash), invite.guest.clone());
            scope.history().tell(&Event::Invited {
                index,
                invite,
                guest,
                until: after.now_ms() / 1_000 + lasts,
            });
        }
        Action::ReplaceSecrets(_) => scope.history().tell(&Event::InvitesVoid { index }),
        Action::ApproveMember(approve) => tell_paired(scope, before, after, approve),
        _ => {}
    }
}

fn tell_paired(scope: &Scope, before: &State, after: &State, approve: &ApproveMember) {
    let Some(hash) = &approve.invite else { return };
    let issuer = approve.approved.issuer.clone();
    let known = before.member(&issuer).is_some()
        || before.circle().any(|trusted| trusted.issuer.same_service(&issuer));
    let renewed = after.member(&issuer).is_some_and(|member| member.since_index == after.index());
    scope.history().tell(&Event::Paired {
        node: scope.node(),
        index: after.index(),
        invite: number(hash),
        issuer,
        who: said(&approve.approved),
        known,
        now_secs: after.now_ms() / 1_000,
        renewed,
    });
}
