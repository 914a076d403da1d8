//! From a credential to a caller.
//!
//! Accepted are a bearer token, a name with a password, a name with a token as its password, and a token in
//! `X-JFrog-Art-Api` (contract section 1.2). A token is judged on one view, loaded after the request was read; a
//! revocable one only if, after the judgement, that view is still provably young enough (see `tokens`). A refusal
//! that a later view might not make counts only on a view that was proved fresh.

pub(crate) mod credential;
pub mod judge;
pub mod reference;
pub(crate) mod signatures;
pub(crate) mod tokens;
pub(crate) mod usage;
pub mod vouch;

use std::net::IpAddr;
use std::sync::Arc;

use circlet_authority::{Actor, Rights, State, TokenActor, User, UserStatus};
use circlet_raft::{Instants, Published};
use circlet_token::{ServiceId, Subject, TokenId, UserName, Verified};
use hyper::header::HeaderMap;

use crate::cluster::Cluster;
use crate::metrics::Counts;
use crate::password::{Attempt, Passwords, Verdict, Waits};
use crate::secret::Secret;
use crate::usecase::failure::{Code, Failure};
use crate::usecase::{reading, users};
use crate::watched::Watched;
use credential::Credential;
use signatures::Signatures;
use tokens::Rules;
use usage::Usage;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Nobody in particular.
    Anonymous,
    /// A user who gave the password.
    User(UserName),
    /// The bearer of a token.
    Token(Bearer),
}

/// A token that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    /// What it says, and the key that says so.
    pub(crate) verified: Arc<Verified>,
    /// Whether it can be revoked, as this cluster sees it.
    pub(crate) revocable: bool,
    /// The view that it was judged on.
    pub(crate) seen: Arc<Published<State>>,
}

impl Caller {
    /// The caller as the log knows it; `None` for nobody.
    pub(crate) fn actor(&self) -> Option<Actor> {
        match self {
            Self::Anonymous => None,
            Self::User(name) => Some(Actor::User { name: name.clone() }),
            Self::Token(bearer) => Some(Actor::Token(Box::new(TokenActor::of(&bearer.verified)))),
        }
    }

    /// What the caller may do, by this view; nothing for nobody.
    pub(crate) fn rights(&self, view: &State) -> Option<Rights> {
        self.actor().map(|actor| view.rights(&actor))
    }

    /// The id of the token that the caller holds, if it has one that its issuer drew as a UUID.
    pub(crate) fn token_id(&self) -> Option<TokenId> {
        match self {
            Self::Anonymous | Self::User(_) => None,
            Self::Token(bearer) => bearer.verified.claims.id,
        }
    }

    /// Whom a token for the caller itself speaks for; `None` for nobody.
    pub(crate) fn subject(&self, own: &ServiceId) -> Option<Subject> {
        match self {
            Self::Anonymous => None,
            Self::User(name) => Some(Subject::user(own, name)),
            Self::Token(bearer) => Some(bearer.verified.claims.subject.clone()),
        }
    }

    /// The caller's name, for logs.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User(name) => name.as_str(),
            Self::Token(bearer) => {
                let subject = &bearer.verified.claims.subject;
                subject.user_name().unwrap_or_else(|| subject.as_str())
            }
        }
    }

    /// The principal that was authenticated, for the audit log.
    pub(crate) fn principal(&self) -> &str {
        match self {
            Self::Anonymous => "UNKNOWN",
            Self::User(name) => name.as_str(),
            Self::Token(bearer) => bearer.verified.claims.subject.as_str(),
        }
    }
}

/// Everything that finding out who asks takes; shared by all requests.
pub(crate) struct Authenticator {
    cluster: Cluster,
    passwords: Passwords,
    signatures: Signatures,
    watched: Arc<Watched>,
    usage: Usage,
    counts: Counts,
}

impl Authenticator {
    /// Judges by the views of this cluster, looks once more into what is watched, and notes in `usage` what was used.
    pub(crate) fn new(
        cluster: Cluster,
        passwords: Passwords,
        watched: Arc<Watched>,
        usage: Usage,
        counts: Counts,
    ) -> Self {
        Self { cluster, passwords, signatures: Signatures::new(), watched, usage, counts }
    }

    /// Finds out who asks. No credential is nobody; one that doesn't count is an error, never nobody. A password waits for
    /// its turn if the request does.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        (address, waits): (IpAddr, Option<&dyn Waits>),
        rules: Rules<'_>,
    ) -> Result<Caller, Failure> {
        match Credential::read(headers)? {
            Credential::None => Ok(Caller::Anonymous),
            Credential::Bearer(token) => self.accept(token, rules).await.map(Caller::Token),
            Credential::ApiKey(token) => {
                self.accept(token, rules).await.map(Caller::Token).map_err(Failure::forbid_instead)
            }
            Credential::Basic { name, secret } => self.basic(&name, &secret, (address, waits), rules).await,
        }
    }

    /// A name with a password or a token. A token that is refused never counts against its user.
    async fn basic(
        &self,
        name: &str,
        secret: &Secret,
        (address, waits): (IpAddr, Option<&dyn Waits>),
        rules: Rules<'_>,
    ) -> Result<Caller, Failure> {
        if let Some(token) = secret.expose_text().filter(|text| tokens::looks_like_one(text)) {
            let bearer = self.accept(token, rules).await?;
            check_principal(name, &bearer)?;
            return Ok(Caller::Token(bearer));
        }
        self.password(name, secret, address, waits).await
    }

    async fn password(
        &self,
        name: &str,
        secret: &Secret,
        address: IpAddr,
        waits: Option<&dyn Waits>,
    ) -> Result<Caller, Failure> {
        let name = users::user_name(name).map_err(|_| bad_credentials())?;
        let mut published = reading::current(&self.cluster).await?;
        if published.view.user(&name).is_none() {
            published = reading::fresh(&self.cluster).await?;
        }
        let mut tried = None;
        let checked = loop {
            let stored = usable_hash(&published, &name).map(str::to_owned);
            let attempt =
                Attempt { user: name.as_str(), address, password: secret, stored: stored.as_deref(), waits };
            match self.passwords.check(attempt).await {
                Verdict::Right => break stored,
                Verdict::SlowDown { retry_after_secs } | Verdict::Busy { retry_after_secs } => {
                    return Err(Failure::new(
                        Code::TooManyRequests,
                        "slow_down",
                        format!("too many attempts to log in; try again in {retry_after_secs} s"),
                    )
                    .retry_after(u32::try_from(retry_after_secs).unwrap_or(u32::MAX))
                    .before_handler());
                }
                Verdict::Wrong if tried.is_some() => return Err(bad_credentials()),
                Verdict::Wrong => {
                    // The password may have been changed on another node: it is wrong only if a fresh view says the same.
                    published = reading::fresh(&self.cluster).await?;
                    if usable_hash(&published, &name) == stored.as_deref() {
                        return Err(bad_credentials());
                    }
                    tried = stored;
                }
            }
        };
        if !settles(&published, &name, self.cluster.instants()) {
            published = reading::fresh(&self.cluster).await?;
            if usable_hash(&published, &name) != checked.as_deref() {
                return Err(bad_credentials());
            }
        }
        match status(&published, &name) {
            Some(UserStatus::Enabled) => Ok(Caller::User(name)),
            Some(status) => Err(Failure::new(Code::Forbidden, "user_disabled", "Forbidden")
                .with_detail(format!("user '{name}' is {}", status.as_str()))
                .before_handler()),
            None => Err(bad_credentials()),
        }
    }
}

/// Whether a view says by itself that the user of a password that is right may come in. The clock is read once that was checked,
/// since the node may have slept meanwhile; and only on a view that was proved fresh is anybody told to be disabled.
fn settles(published: &Published<State>, name: &UserName, now: Instants) -> bool {
    vouch::may_read(published, now) && status(published, name) == Some(UserStatus::Enabled)
}

fn status(published: &Published<State>, name: &UserName) -> Option<UserStatus> {
    published.view.user(name).map(|user| user.status)
}

/// A token as password needs the name of its subject: the user's, or the whole subject (contract section 1.2, 3).
fn check_principal(name: &str, bearer: &Bearer) -> Result<(), Failure> {
    let subject = &bearer.verified.claims.subject;
    let expected = subject.user_name().unwrap_or_else(|| subject.as_str());
    if name == subject.as_str() || name.eq_ignore_ascii_case(expected) || name.to_lowercase() == expected {
        return Ok(());
    }
    let hint =
        format!("the token belongs to '{expected}', the user name sent is '{name}'; send the token's own");
    Err(Failure::new(Code::Unauthorized, "principal_mismatch", "Token principal mismatch.")
        .with_detail(hint)
        .before_handler())
}

fn usable_hash<'a>(published: &'a Published<State>, name: &UserName) -> Option<&'a str> {
    let user: &User = published.view.user(name)?;
    if user.internal_password_disabled { None } else { user.password_hash.as_deref() }
}

/// The same for an unknown user and a wrong password.
fn bad_credentials() -> Failure {
    Failure::unauthorized("bad_credentials", "Bad credentials")
}

#[cfg(test)]
mod tests {
    use circlet_authority::{Action, Command, Stamp};
    use circlet_token::read_certificate;

    use super::*;
    use crate::certificates::{TokenKeyKind, token_issuer};
    use crate::founded;

    #[test]
    fn a_right_password_lets_in_by_a_view_of_before_only_while_that_may_be_read() {
        let service = "jfrt@00000000000000000000000own";
        let pair = token_issuer(TokenKeyKind::EdDsa, service, 1_000).expect("a pair");
        let first = founded::bootstrap(service, read_certificate(&pair.certificate).expect("its own"));
        let admin = first.administrator.name.clone();
        let mut state = State::new();
        let command = Command { actor: Actor::System, action: Action::Bootstrap(Box::new(first)) };
        let outcome = state.apply(1, Stamp { now_ms: 1_000 }, &command);
        assert!(outcome.refusal().is_none(), "{outcome:?}");
        let most_ms = u64::try_from(state.config().verify_max_isolation).expect("seconds") * 1_000;
        let at = |ms| Instants { boot_ms: 1_000 + ms, wall_ms: 1_000 + ms };
        let view =
            Published { view: Arc::new(state), index: 1, fresh_as_of: Some(at(0)), sources: Arc::default() };
        assert!(settles(&view, &admin, at(most_ms)));
        assert!(!settles(&view, &admin, at(most_ms + 1)), "it slept while the password was checked");
        let bob = users::user_name("bob").expect("a name");
        assert!(!settles(&view, &bob, at(0)), "a later view may have him");
    }
}
