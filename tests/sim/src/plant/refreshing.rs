//! Planted bugs in what a refresh may change.

use circlet_authority::{Action, Actor, Command};

use super::Plant;
use crate::house;

/// What is applied in place of the command of an entry, where such a bug is planted.
pub(super) fn before_apply(plant: Plant, command: &[u8]) -> Option<Vec<u8>> {
    if !matches!(plant, Plant::AnyChange | Plant::KeptScope) {
        return None;
    }
    let mut command = Command::decode(command).ok()?;
    let Action::RefreshToken(refresh) = &mut command.action else { return None };
    if plant == Plant::KeptScope {
        (refresh.overrides.scope, refresh.overrides.audience) = (None, None);
    } else if matches!(command.actor, Actor::RefreshPair | Actor::Token(_)) {
        command.actor = Actor::User { name: house::name("admin") };
    }
    Some(command.encode())
}
