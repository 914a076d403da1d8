//! Groups: create, read, change, delete.

use std::collections::BTreeSet;
use std::sync::Arc;

use circlet_authority::{Action, DeleteGroup, Group, Outcome, PutGroup, PutMode, State};
use circlet_raft::Published;
use circlet_token::UserName;
use serde_json::json;

use super::failure::Failure;
use super::users::Written;
use super::{Session, reading};
use crate::audit::{Change, Entity};

/// What a request wants of a group. `None` leaves as it is, or takes the default of a new one.
#[derive(Default)]
pub(crate) struct GroupOrder {
    pub(crate) description: Option<String>,
    pub(crate) auto_join: Option<bool>,
    pub(crate) admin_privileges: Option<bool>,
    pub(crate) realm_attributes: Option<String>,
    /// Exactly these users are members afterwards.
    pub(crate) members: Option<BTreeSet<UserName>>,
}

/// The longest name of a group, in characters.
pub(crate) const GROUP_NAME_CHARS_MAX: usize = 255;

/// A group's name as scopes can name it: no comma, quote, backslash or control character.
pub(crate) fn group_name(text: &str) -> Result<String, Failure> {
    let name = text.trim();
    let refused = name.contains(|c: char| c.is_control() || matches!(c, ',' | '"' | '\\'));
    if refused || name.is_empty() || name == "*" || name.chars().count() > GROUP_NAME_CHARS_MAX {
        return Err(Failure::bad_request(
            "bad_group_name",
            format!(
                "the name of a group has 1 to {GROUP_NAME_CHARS_MAX} characters without comma, quote and backslash"
            ),
        ));
    }
    Ok(name.to_owned())
}

/// A view that holds the group; administrators and members may read it.
pub(crate) async fn find(session: &Session<'_>, name: &str) -> Result<Arc<Published<State>>, Failure> {
    // Who is a user here is not for other clusters to know.
    let member = |view: &State| {
        session.rights(view).is_some_and(|rights| !rights.foreign && rights.groups.contains(name))
    };
    session.require_admin_or("read groups they are not in", member).await?;
    reading::holding(session.cluster, |view| view.group(name).is_some()).await?.ok_or_else(|| unknown(name))
}

/// A view with all groups, for administrators.
pub(crate) async fn all(session: &Session<'_>) -> Result<Arc<Published<State>>, Failure> {
    session.require_admin("list groups").await?;
    reading::current(session.cluster).await
}

/// Creates or changes a group.
pub(crate) async fn put(
    session: &Session<'_>,
    name: &str,
    mode: PutMode,
    order: GroupOrder,
) -> Result<Written, Failure> {
    session.require_admin("create or change groups").await?;
    loop {
        // The command holds the whole group, so what stays as it is must come from a view that has it.
        let published = match mode {
            PutMode::Create => None,
            PutMode::Update | PutMode::CreateOrUpdate => Some(reading::fresh(session.cluster).await?),
        };
        let old = published.as_ref().and_then(|published| published.view.group(name));
        let either = mode == PutMode::CreateOrUpdate;
        let asked = match old {
            None if either => PutMode::Create,
            Some(_) if either => PutMode::Update,
            _ => mode,
        };
        match write(session, old, name, asked, &order).await {
            // Since the view, somebody else has created the group, or deleted it.
            Err(failure) if either && matches!(failure.reason(), "exists" | "unknown_group") => {}
            done => return done,
        }
    }
}

async fn write(
    session: &Session<'_>,
    old: Option<&Arc<Group>>,
    name: &str,
    mode: PutMode,
    order: &GroupOrder,
) -> Result<Written, Failure> {
    let created = old.is_none();
    let mut group = old.map_or_else(|| Group::new(name), |old| Group::clone(old));
    group.description = order.description.clone().unwrap_or(group.description);
    group.auto_join = order.auto_join.unwrap_or(group.auto_join);
    group.admin_privileges = order.admin_privileges.unwrap_or(group.admin_privileges);
    group.realm_attributes = order.realm_attributes.clone().unwrap_or(group.realm_attributes);
    let data = json!({
        "description": group.description,
        "autoJoin": group.auto_join,
        "adminPrivileges": group.admin_privileges,
        "members": order.members,
    });
    let action = PutGroup { group, mode, members: order.members.clone() };
    let decided = session
        .decide(Action::PutGroup(Box::new(action)))
        .await
        .map_err(|failure| if failure.reason() == "unknown_user" { failure.of_input() } else { failure })?;
    let (change, key) = if created { (Change::Created, "added") } else { (Change::Updated, "changed") };
    session.record(change, Entity::Group, name, json!({key: data}))?;
    Ok(Written { view: session.published(), index: decided.index, created })
}

/// Deletes a group; its members leave it.
pub(crate) async fn delete(session: &Session<'_>, name: &str) -> Result<u64, Failure> {
    session.require_admin("delete groups").await?;
    let decided = session.decide(Action::DeleteGroup(DeleteGroup { name: name.to_owned() })).await?;
    if matches!(decided.outcome, Outcome::NotFound { .. }) {
        return Err(unknown(name));
    }
    session.record(Change::Deleted, Entity::Group, name, json!({"removed": {"name": name}}))?;
    Ok(decided.index)
}

/// The group, where a use case has just made sure of it.
pub(crate) fn expect<'a>(published: &'a Published<State>, name: &str) -> Result<&'a Group, Failure> {
    published.view.group(name).map(AsRef::as_ref).ok_or_else(|| unknown(name))
}

/// 404 for this group.
pub(crate) fn unknown(name: &str) -> Failure {
    Failure::not_found(format!("there is no group named '{name}'"))
}
