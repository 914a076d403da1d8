//! Where keys stand: those of the keyring and those of others.

use circlet_authority::{KeyState, State};
use circlet_token::KeyId;

use crate::history::{Event, Standing};
use crate::scope::Scope;

/// Tells where keys stand, as far as that is new.
pub(super) fn tell(scope: &Scope, before: Option<&State>, after: &State) {
    let (node, index) = (scope.node(), after.index());
    let say = |kid: &KeyId, standing| {
        scope.history().tell(&Event::Key { node, index, kid: kid.clone(), standing });
    };
    for key in after.keyring() {
        let old = before.and_then(|before| before.key(&key.kid));
        if old.is_none_or(|old| old.state != key.state) {
            say(&key.kid, standing(key.state));
        }
    }
    for other in after.circle() {
        if before.is_none_or(|before| before.trusted(&other.kid).is_none()) {
            say(&other.kid, Standing::Trusted);
        }
    }
    let gone = before.into_iter().flat_map(State::circle).filter(|other| after.trusted(&other.kid).is_none());
    gone.for_each(|other| say(&other.kid, Standing::Distrusted));
}

fn standing(state: KeyState) -> Standing {
    match state {
        KeyState::Published => Standing::Published,
        KeyState::Active => Standing::Active,
        KeyState::Retiring => Standing::Retiring,
        KeyState::Tainted => Standing::Tainted,
        KeyState::Retired => Standing::Retired,
    }
}
