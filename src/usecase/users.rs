//! Users: create, read, change, delete.

use std::collections::BTreeSet;
use std::sync::Arc;

use circlet_authority::{
    Action, DeleteUser, Outcome, PasswordChange, PutMode, PutUser, State, User, UserStatus,
};
use circlet_raft::Published;
use circlet_token::UserName;
use serde_json::{Map, json};

use super::failure::{Code, Failure};
use super::{Session, reading};
use crate::audit::{Change, Entity};
use crate::secret::Secret;

/// What a request wants of a user. `None` leaves as it is, or takes the default of a new one.
#[derive(Default)]
pub(crate) struct UserOrder {
    pub(crate) email: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) admin: Option<bool>,
    pub(crate) groups: Option<BTreeSet<String>>,
    pub(crate) status: Option<UserStatus>,
    /// Where the user comes from: refreshing goes on for one who comes from elsewhere and is gone here.
    pub(crate) realm: Option<String>,
    pub(crate) profile_updatable: Option<bool>,
    pub(crate) internal_password_disabled: Option<bool>,
    pub(crate) disable_ui_access: Option<bool>,
}

/// A user as written, and where in the log.
pub(crate) struct Written {
    pub(crate) view: Arc<Published<State>>,
    pub(crate) index: u64,
    pub(crate) created: bool,
}

/// Passwords shorter than this are refused, in characters.
pub(crate) const PASSWORD_CHARS_MIN: usize = 4;
/// Passwords longer than this are refused, in bytes: hashing is linear in it.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// A user's name as it is kept: in lower case, since clients differ in what they send.
pub(crate) fn user_name(text: &str) -> Result<UserName, Failure> {
    UserName::parse(&text.trim().to_lowercase()).map_err(|malformed| {
        Failure::bad_request("bad_user_name", format!("Invalid formatted name: {malformed}"))
    })
}

/// One user; administrators see all, users themselves.
pub(crate) async fn find(session: &Session<'_>, name: &UserName) -> Result<Arc<Published<State>>, Failure> {
    session.require_admin_or("read other users", |view| session.is_self(view, name)).await?;
    reading::holding(session.cluster, |view| view.user(name).is_some()).await?.ok_or_else(|| unknown(name))
}

/// A view with all users, for administrators.
pub(crate) async fn all(session: &Session<'_>) -> Result<Arc<Published<State>>, Failure> {
    session.require_admin("list users").await?;
    reading::current(session.cluster).await
}

/// Creates or changes a user. Users without admin rights may change their own mail address and password.
pub(crate) async fn put(
    session: &Session<'_>,
    name: UserName,
    mode: PutMode,
    order: UserOrder,
) -> Result<Written, Failure> {
    let own_profile = order.admin.is_none()
        && order.groups.is_none()
        && order.status.is_none()
        && order.realm.is_none()
        && order.profile_updatable.is_none()
        && order.internal_password_disabled.is_none()
        && order.disable_ui_access.is_none();
    let allowed = |view: &State| own_profile && session.is_self(view, &name);
    session.require_admin_or("create or change users", allowed).await?;
    let existed = session.published().view.user(&name).is_some();
    let mut changed = Map::new();
    for (field, flag) in
        [("admin", order.admin), ("internalPasswordDisabled", order.internal_password_disabled)]
    {
        if let Some(flag) = flag {
            changed.insert(field.to_owned(), flag.into());
        }
    }
    if let Some(groups) = &order.groups {
        changed.insert("groups".to_owned(), json!(groups));
    }
    if let Some(status) = order.status {
        changed.insert("status".to_owned(), status.as_str().into());
    }
    if let Some(realm) = &order.realm {
        changed.insert("realm".to_owned(), realm.as_str().into());
    }
    if let Some(email) = &order.email {
        check_email(email)?;
        changed.insert("email".to_owned(), email.as_str().into());
    }
    let password = match &order.password {
        None => PasswordChange::Keep,
        Some(password) => {
            changed.insert("password".to_owned(), "changed".into());
            PasswordChange::Set(hash(session, password).await?)
        }
    };
    let action = PutUser {
        email: order.email,
        password,
        admin: order.admin,
        groups: order.groups,
        status: order.status,
        realm: order.realm,
        profile_updatable: order.profile_updatable,
        internal_password_disabled: order.internal_password_disabled,
        disable_ui_access: order.disable_ui_access,
        ..PutUser::new(name.clone(), mode)
    };
    let decided = session
        .decide(Action::PutUser(Box::new(action)))
        .await
        .map_err(|failure| if failure.reason() == "unknown_group" { failure.of_input() } else { failure })?;
    let written = session.published();
    // The view before may not have heard of the user. One who is gone again is nobody's to ask.
    let created = written.view.user(&name).map_or(!existed, |user| user.created_index == decided.index);
    let (change, key) = if created { (Change::Created, "added") } else { (Change::Updated, "changed") };
    session.record(change, Entity::User, name.as_str(), json!({key: changed}))?;
    Ok(Written { view: written, index: decided.index, created })
}

/// Deletes a user; every token issued to that name before is refused from then on.
pub(crate) async fn delete(session: &Session<'_>, name: UserName) -> Result<u64, Failure> {
    session.require_admin("delete users").await?;
    let decided = session.decide(Action::DeleteUser(DeleteUser { name: name.clone() })).await?;
    if matches!(decided.outcome, Outcome::NotFound { .. }) {
        return Err(unknown(&name));
    }
    session.record(
        Change::Deleted,
        Entity::User,
        name.as_str(),
        json!({"removed": {"name": name.as_str()}}),
    )?;
    Ok(decided.index)
}

/// 404 for this user.
pub(crate) fn unknown(name: &UserName) -> Failure {
    Failure::not_found(format!("there is no user named '{name}'"))
}

/// The user, where a use case has just made sure of it.
pub(crate) fn expect<'a>(published: &'a Published<State>, name: &UserName) -> Result<&'a User, Failure> {
    published.view.user(name).map(AsRef::as_ref).ok_or_else(|| unknown(name))
}

async fn hash(session: &Session<'_>, password: &Secret) -> Result<String, Failure> {
    let chars = password.expose_text().map_or(0, |text| text.chars().count());
    if chars < PASSWORD_CHARS_MIN || password.expose().len() > PASSWORD_BYTES_MAX {
        return Err(Failure::bad_request(
            "bad_password",
            format!("a password has {PASSWORD_CHARS_MIN} characters to {PASSWORD_BYTES_MAX} bytes"),
        ));
    }
    session
        .passwords
        .hash(password)
        .await
        .map_err(|busy| Failure::new(Code::TooManyRequests, "busy", busy.to_string()))
}

/// Not the whole grammar of RFC 5321: what tells a mail address from a typing mistake.
fn check_email(email: &str) -> Result<(), Failure> {
    let plausible = email.is_empty()
        || (email.len() <= 254
            && !email.contains(|c: char| c.is_whitespace() || c.is_control())
            && email
                .split_once('@')
                .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@')));
    if plausible {
        return Ok(());
    }
    Err(Failure::bad_request("bad_email", format!("'{email}' is not a mail address")))
}
