//! Planted bugs in invitations: what is not asked of whoever comes with one.

use circlet_authority::{Action, Command, State};

use super::Plant;

/// The command as if nobody had come with an invitation, where that is not good in the one way that is overlooked.
pub(super) fn uninvited(plant: Plant, view: &State, stamp_ms: u64, command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::ApproveMember(approve) = &mut command.action else { return None };
    let invite = view.invite(approve.invite.as_ref()?)?;
    let issuer = &approve.approved.issuer;
    let known = view.member(issuer).is_some();
    let overlooked = match plant {
        Plant::ReusedInvitation => invite.redeemed.is_some_and(|who| who != approve.approved.digest()),
        Plant::LateInvitation => invite.redeemed.is_none() && invite.expires_at <= stamp_ms / 1_000,
        _ => {
            invite.redeemed.is_none()
                && invite.guest.as_ref().map_or(known, |guest| !guest.same_service(issuer))
        }
    };
    if !overlooked {
        return None;
    }
    approve.invite = None;
    Some(command.encode())
}
