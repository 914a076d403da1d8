//! What a caller may ask for when creating a token, as the configuration stands.

use std::sync::Arc;

use circlet_authority::{Generation, Rights, State};
use circlet_raft::Published;
use circlet_token::Lifetime;

use super::failure::Failure;
use super::{Session, reading};

/// Lifetimes on one of the two APIs, for one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// What a token gets when none is asked for.
    pub(crate) default: Lifetime,
    /// The longest that may be asked for; for ever where there is no bound.
    pub(crate) longest: Lifetime,
    /// From this lifetime on a token can be revoked, seconds; `None`: only one that never expires.
    pub(crate) revocable_from: Option<u64>,
}

/// A view with the bounds, and what the caller may do by it; to whoever has a credential.
pub(crate) async fn read(session: &Session<'_>) -> Result<(Arc<Published<State>>, Rights), Failure> {
    session.actor()?;
    let published = reading::current(session.cluster).await?;
    let rights = session.rights(&published.view).expect("who has a credential is somebody");
    Ok((published, rights))
}

/// The bounds on one API. Administrators have none.
pub(crate) fn of(view: &State, rights: Option<&Rights>, generation: Generation) -> Bounds {
    let config = view.config();
    let (default, max, revocable_from) = match generation {
        Generation::Legacy => {
            (config.legacy_default_expiry, config.non_admin_max_duration, config.minimum_revocable_expiry)
        }
        Generation::Access => (config.default_expiry, config.max_expiry, config.revocable_expiry_threshold),
    };
    let max = if rights.is_some_and(|rights| rights.admin) { 0 } else { max };
    let default = match (default, max) {
        (default, 0) => default,
        (0, max) => max,
        (default, max) => default.min(max),
    };
    let lifetime = |secs: i64| Lifetime::from_secs(u64::try_from(secs).unwrap_or(0));
    Bounds {
        default: lifetime(default),
        longest: lifetime(max),
        revocable_from: u64::try_from(revocable_from).ok(),
    }
}

#[cfg(test)]
mod tests {
    use circlet_authority::Config;

    use super::*;

    /// An administrator has no maximum; anyone else has the default cut to it.
    #[test]
    fn the_default_is_cut_to_what_may_be_asked_for() {
        let view = State::new();
        assert_eq!(view.config().as_ref(), &Config::default());
        let legacy = of(&view, None, Generation::Legacy);
        assert_eq!((legacy.default.secs(), legacy.longest.secs()), (Some(3_600), Some(3_600)));
        assert_eq!(legacy.revocable_from, None);
        let access = of(&view, None, Generation::Access);
        assert_eq!((access.default.secs(), access.longest.secs()), (Some(31_536_000), None));
        assert_eq!(access.revocable_from, Some(21_600));
    }
}
