//! Whether who is no administrator was given what only administrators may have, or who is shut out anything: found apart from
//! the product's own policy, in what was applied, whatever anybody was told, and in what a node decides without the log.

use circlet_authority::{
    Action, Actor, Command, IssueToken, Judgement, Outcome, PutMode, PutUser, RevokeTarget, State,
    TokenActor, Whom,
};
use circlet_token::{Algorithm, Audience, Claims, TokenId, UserName, Verified};

use super::refreshing;
use crate::history::Event;
use crate::house;
use crate::scope::Scope;

/// Looks at a command that was not refused, by the state that it was decided on.
pub(crate) fn tell_given(scope: &Scope, before: &State, index: u64, command: &Command, outcome: &Outcome) {
    if is_shut_out(before, command, outcome) {
        let (node, what) = (scope.node(), command.action.name());
        scope.history().tell(&Event::Overruled { node, index, what });
    }
    let Some(user) = user_of(before, &command.actor) else { return };
    if let Some(what) = beyond(before, &user, command) {
        scope.history().tell(&Event::Overreached { what, done: true, index });
    }
}

/// Whether a view lets nobody act like that: it refuses the token, or whoever gave the password is disabled or gone.
fn is_shut_out(view: &State, command: &Command, outcome: &Outcome) -> bool {
    match &command.actor {
        Actor::Token(actor) => {
            is_refused(view, actor) && !refreshing::opens_pair(view, actor, &command.action, outcome)
        }
        Actor::User { name } => view.user(name).is_none_or(|user| !user.is_enabled()),
        Actor::System | Actor::RefreshPair | Actor::Operator => false,
    }
}

/// The user for whom somebody speaks who is no administrator.
pub(super) fn user_of(before: &State, actor: &Actor) -> Option<String> {
    let (user, is_whole) = match actor {
        Actor::User { name } => (name.as_str().to_owned(), true),
        Actor::Token(token) => {
            let scope = token.scope.to_string();
            if scope.contains("applied-permissions/admin") {
                return None;
            }
            (token.subject.user_name()?.to_owned(), scope.contains("applied-permissions/user"))
        }
        Actor::System | Actor::RefreshPair | Actor::Operator => return None,
    };
    let administers = before.user(&house::name(&user)).is_some_and(|user| user.admin);
    (!(administers && is_whole)).then_some(user)
}

/// What of a command is not for such a user.
fn beyond(before: &State, user: &str, command: &Command) -> Option<&'static str> {
    let is_own = |id: &TokenId| {
        let itself = matches!(&command.actor, Actor::Token(token) if token.id == Some(*id));
        let names = |name: Option<&str>| name == Some(user);
        itself
            || before.token(id).is_some_and(|record| {
                names(record.subject.user_name()) || names(record.owner.as_ref().map(UserName::as_str))
            })
    };
    let (allowed, what) = match &command.action {
        Action::RefreshToken(_) => return None,
        Action::IssueToken(issue) => (may_issue(before, user, issue), "issuing such a token"),
        Action::RevokeToken(revoke) => {
            let own = match &revoke.target {
                RevokeTarget::Id(id) => is_own(id),
                RevokeTarget::Value(token) => is_own(&token.id) || token.subject.user_name() == Some(user),
                RevokeTarget::Family { family, .. } => {
                    before.family(family).is_some_and(|family| is_own(&family.current))
                }
            };
            (own, "revoking such a token")
        }
        Action::RevokeBefore(revoke) => {
            let own = matches!(&revoke.whom, Whom::Subject(subject) if subject.user_name() == Some(user));
            (own, "ending such tokens")
        }
        Action::PutUser(put) => (is_profile_of(user, put), "changing such a user"),
        other => (false, other.name()),
    };
    (!allowed).then_some(what)
}

/// For oneself, as oneself or for groups that one is in, and no longer than anybody's.
fn may_issue(before: &State, user: &str, issue: &IssueToken) -> bool {
    let scope = issue.scope.to_string();
    let found = before.user(&house::name(user));
    let is_in = |group: &str| found.is_some_and(|user| user.groups.contains(group));
    let longest = u64::try_from(before.config().max_expiry).unwrap_or(0);
    issue.subject.user_name() == Some(user)
        && !scope.contains("admin")
        && issue.scope.groups().all(is_in)
        && (longest == 0 || issue.lifetime.secs().is_some_and(|secs| secs <= longest))
}

/// One's own mail address and password.
fn is_profile_of(user: &str, put: &PutUser) -> bool {
    let rest = PutUser { email: None, password: put.password.clone(), ..put.clone() };
    let bare = PutUser { password: put.password.clone(), ..PutUser::new(put.name.clone(), PutMode::Update) };
    put.name.as_str() == user && PutUser { mode: PutMode::Update, ..rest } == bare
}

/// Whether a view refuses the token of an actor: revoked by id or watermark, of a key that leaked, of a disabled user.
fn is_refused(view: &State, actor: &TokenActor) -> bool {
    let claims = Claims {
        revocable: actor.revocable,
        subject: actor.subject.clone(),
        scope: actor.scope.clone(),
        audience: Audience::any(),
        issuer: actor.issuer().clone(),
        expires_at: actor.expires_at,
        issued_at: actor.issued_at,
        not_before: None,
        id: actor.id,
        index: actor.index,
    };
    let verified = Verified { claims, key: actor.key.clone(), algorithm: Algorithm::EdDsa };
    !matches!(view.judge(&verified, view.now_ms() / 1_000), Judgement::Good { .. })
}
