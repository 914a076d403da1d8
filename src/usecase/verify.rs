//! What a credential is worth here, for proxies and for people.

use std::borrow::Cow;
use std::collections::BTreeSet;

use circlet_authority::Rights;
use circlet_token::Subject;

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
            let own = published.view.service_id();
            let subject = own.map(|own| Cow::Owned(Subject::user(own, name)));
            let rights = published.view.rights_of_user(name);
            if rights.user.is_none() {
                // Gone, or disabled, since the password was checked.
                return Err(Failure::unauthorized("bad_credentials", "Bad credentials"));
            }
            Ok(Worth::of(rights, subject, None, false, published.index))
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
