//! What a credential is worth here, for proxies and for people.

use std::borrow::Cow;
use std::collections::BTreeSet;

use circlet_authority::{Rights, State};
use circlet_token::{Subject, UserName};

use super::failure::Failure;
use super::reading;
use crate::authenticate::Caller;
use crate::cluster::Cluster;

/// Whose a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A user of this cluster.
    User,
    /// Nobody's: the token alone speaks for it.
    Transient,
    /// Another cluster's.
    Foreign,
}

/// An accepted credential and its effective rights.
pub(crate) struct Worth<'a> {
    pub(crate) subject: Option<Cow<'a, Subject>>,
    /// The user's name, or what else the subject says; the whole subject where another cluster vouches for it, so
    /// that their `admin` is never taken for ours.
    pub(crate) user: String,
    /// Groups of this cluster that it is in.
    pub(crate) groups: BTreeSet<String>,
    pub(crate) admin: bool,
    /// Seconds since the epoch; `None` never expires.
    pub(crate) expires_at: Option<u64>,
    pub(crate) revocable: bool,
    /// Whose the name is.
    pub(crate) standing: Standing,
    /// The log index of the view that says so.
    pub(crate) index: u64,
}

/// Says what the caller is worth, on the view that the caller was judged on.
pub(crate) async fn worth<'a>(cluster: &Cluster, caller: &'a Caller) -> Result<Worth<'a>, Failure> {
    match caller {
        Caller::Anonymous => Err(Failure::unauthorized(
            "no_credential",
            "send the credential to be verified in the Authorization header",
        )),
        Caller::User(name) => {
            let published = reading::current(cluster).await?;
            Worth::of_user(&published.view, name, published.index)
        }
        Caller::Token(bearer) => {
            let claims = &bearer.verified.claims;
            let rights = bearer.seen.view.rights_of(&bearer.verified);
            let subject = Some(Cow::Borrowed(&claims.subject));
            Ok(Worth::of(rights, subject, claims.expires_at, bearer.revocable, bearer.seen.index))
        }
    }
}

impl<'a> Worth<'a> {
    /// That of a user whose password was good.
    fn of_user(view: &State, name: &UserName, index: u64) -> Result<Self, Failure> {
        let subject = view.service_id().map(|own| Cow::Owned(Subject::user(own, name)));
        let rights = view.rights_of_user(name);
        if rights.user.is_none() {
            // Gone, or disabled, since the password was checked.
            return Err(Failure::unauthorized("bad_credentials", "Bad credentials"));
        }
        Ok(Self::of(rights, subject, None, false, index))
    }

    fn of(
        rights: Rights,
        subject: Option<Cow<'a, Subject>>,
        expires_at: Option<u64>,
        revocable: bool,
        index: u64,
    ) -> Self {
        let whole = subject.as_ref().filter(|_| rights.foreign).map(|subject| subject.as_str().to_owned());
        Self {
            subject,
            user: whole.unwrap_or(rights.principal.name),
            groups: rights.groups,
            admin: rights.admin,
            expires_at,
            revocable,
            standing: match (rights.foreign, rights.transient) {
                (true, _) => Standing::Foreign,
                (false, true) => Standing::Transient,
                (false, false) => Standing::User,
            },
            index,
        }
    }
}

#[cfg(test)]
mod tests {
    use circlet_authority::{Action, Actor, Command, PutMode, PutUser, Stamp, State, UserStatus};
    use circlet_token::{UserName, read_certificate};

    use super::Worth;
    use crate::certificates::{TokenKeyKind, token_issuer};
    use crate::founded;
    use crate::usecase::failure::Code;

    fn apply(state: &mut State, action: Action) {
        let outcome =
            state.apply(state.index() + 1, Stamp { now_ms: 1 }, &Command { actor: Actor::System, action });
        assert_eq!(outcome.refusal(), None);
    }

    #[test]
    fn whoever_was_disabled_or_removed_since_the_password_was_checked_is_refused() {
        let service = "jfrt@01hq0000000000000000000000";
        let pair = token_issuer(TokenKeyKind::EdDsa, service, 1_000).unwrap();
        let mut state = State::new();
        let bootstrap = founded::bootstrap(service, read_certificate(&pair.certificate).unwrap());
        apply(&mut state, Action::Bootstrap(Box::new(bootstrap)));
        let name = UserName::parse("eve").unwrap();
        let worth = |state: &State| Worth::of_user(state, &name, state.index()).map(|worth| worth.user);
        let refused = |state: &State| worth(state).map_err(|failure| failure.code);
        assert_eq!(refused(&state), Err(Code::Unauthorized), "there is none yet");
        let put = |status| {
            let mut put = PutUser::new(name.clone(), PutMode::CreateOrUpdate);
            put.status = Some(status);
            Action::PutUser(Box::new(put))
        };
        apply(&mut state, put(UserStatus::Enabled));
        assert_eq!(refused(&state), Ok("eve".to_owned()));
        apply(&mut state, put(UserStatus::Disabled));
        assert_eq!(refused(&state), Err(Code::Unauthorized));
    }
}
