//! Users and groups as the Access API speaks of them: `/access/api/v2/{users,groups}` (contract section 1.7).

use std::collections::BTreeSet;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use circlet_authority::{Group, PutMode, State, User, UserStatus};
use circlet_token::UserName;
use serde_json::{Value, json};

use super::answer;
use super::body::{Parameters, Reads};
use super::call::Call;
use super::users_legacy::members;
use crate::percent;
use crate::secret::Secret;
use crate::usecase::failure::Failure;
use crate::usecase::groups::{self, GroupOrder};
use crate::usecase::users::{self, UserOrder};

/// Entries on one page unless the request says otherwise, and at most.
const PAGE_ENTRIES_MAX: usize = 1000;

pub(super) async fn create_user(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let parameters = call.parameters(Reads::Json)?;
    let name = users::user_name(required(&parameters, "username")?)?;
    let order = user_order(&parameters)?;
    let written = users::put(&session, name.clone(), PutMode::Create, order).await?;
    let user = users::expect(&written.view, &name)?;
    Ok(answer::at_index(
        answer::json_status(StatusCode::CREATED, &user_json(user, &written.view.view)),
        written.index,
    ))
}

pub(super) async fn change_user(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let name = users::user_name(&name)?;
    let order = user_order(&call.parameters(Reads::Json)?)?;
    let written = users::put(&session, name.clone(), PutMode::Update, order).await?;
    let user = users::expect(&written.view, &name)?;
    Ok(answer::at_index(answer::json(&user_json(user, &written.view.view)), written.index))
}

pub(super) async fn read_user(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let name = users::user_name(&name)?;
    let published = users::find(&session, &name).await?;
    Ok(answer::json(&user_json(users::expect(&published, &name)?, &published.view)))
}

pub(super) async fn delete_user(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let index = users::delete(&session, users::user_name(&name)?).await?;
    Ok(answer::at_index(answer::empty(StatusCode::NO_CONTENT), index))
}

pub(super) async fn list_users(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let (cursor, limit) = page(&call.query()?)?;
    let published = users::all(&session).await?;
    let after = published.view.users().filter(|user| user.name.as_str() > cursor.as_str());
    let (list, cursor) = take_page(
        after,
        limit,
        |user| user.name.as_str(),
        |user| {
            json!({
                "username": user.name.as_str(),
                "uri": format!("/access/api/v2/users/{}", percent::encode(user.name.as_str())),
                "realm": user.realm,
                "status": user.status.as_str(),
            })
        },
    );
    Ok(answer::json(&json!({"users": list, "cursor": cursor})))
}

pub(super) async fn create_group(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let parameters = call.parameters(Reads::Json)?;
    let name = groups::group_name(required(&parameters, "name")?)?;
    let order = group_order(&parameters)?;
    let written = groups::put(&session, &name, PutMode::Create, order).await?;
    let group = groups::expect(&written.view, &name)?;
    let body = group_json(group, &written.view.view);
    Ok(answer::at_index(answer::json_status(StatusCode::CREATED, &body), written.index))
}

pub(super) async fn change_group(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let name = groups::group_name(&name)?;
    let order = group_order(&call.parameters(Reads::Json)?)?;
    let written = groups::put(&session, &name, PutMode::Update, order).await?;
    let group = groups::expect(&written.view, &name)?;
    Ok(answer::at_index(answer::json(&group_json(group, &written.view.view)), written.index))
}

pub(super) async fn read_group(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let name = groups::group_name(&name)?;
    let published = groups::find(&session, &name).await?;
    Ok(answer::json(&group_json(groups::expect(&published, &name)?, &published.view)))
}

pub(super) async fn delete_group(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let index = groups::delete(&session, &groups::group_name(&name)?).await?;
    Ok(answer::at_index(answer::empty(StatusCode::NO_CONTENT), index))
}

pub(super) async fn list_groups(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let (cursor, limit) = page(&call.query()?)?;
    let published = groups::all(&session).await?;
    let after = published.view.groups().filter(|group| group.name.as_str() > cursor.as_str());
    let (list, cursor) = take_page(
        after,
        limit,
        |group| group.name.as_str(),
        |group| {
            json!({
                "group_name": group.name,
                "uri": format!("/access/api/v2/groups/{}", percent::encode(&group.name)),
            })
        },
    );
    Ok(answer::json(&json!({"groups": list, "cursor": cursor})))
}

fn user_order(parameters: &Parameters) -> Result<UserOrder, Failure> {
    let status = match parameters.text("status")? {
        None => None,
        Some(text) => Some(UserStatus::parse(text).ok_or_else(|| {
            Failure::bad_request(
                "bad_parameter",
                format!("Invalid status value: {text} (enabled, disabled, locked or invited expected)"),
            )
        })?),
    };
    Ok(UserOrder {
        email: parameters.text_or_empty("email")?.map(str::to_owned),
        password: parameters.text("password")?.map(|text| Secret::from(text.to_owned())),
        admin: parameters.flag("admin")?,
        groups: parameters.list("groups")?.map(|list| list.into_iter().collect()),
        status,
        realm: parameters.text("realm")?.map(str::to_owned),
        profile_updatable: parameters.flag("profile_updatable")?,
        internal_password_disabled: parameters.flag("internal_password_disabled")?,
        disable_ui_access: parameters.flag("disable_ui_access")?,
    })
}

fn group_order(parameters: &Parameters) -> Result<GroupOrder, Failure> {
    let members = match parameters.list("members")? {
        Some(names) => {
            Some(names.iter().map(|name| users::user_name(name)).collect::<Result<BTreeSet<UserName>, _>>()?)
        }
        None => None,
    };
    Ok(GroupOrder {
        description: parameters.text_or_empty("description")?.map(str::to_owned),
        auto_join: parameters.flag("auto_join")?,
        admin_privileges: parameters.flag("admin_privileges")?,
        realm_attributes: parameters.text_or_empty("external_id")?.map(str::to_owned),
        members,
    })
}

fn required<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, Failure> {
    parameters
        .text(name)?
        .ok_or_else(|| Failure::bad_request("missing_parameter", format!("{name} is required")))
}

fn page(query: &Parameters) -> Result<(String, usize), Failure> {
    let limit = query.whole("limit")?.map_or(Ok(PAGE_ENTRIES_MAX), usize::try_from);
    let limit = limit.ok().filter(|limit| (1..=PAGE_ENTRIES_MAX).contains(limit)).ok_or_else(|| {
        Failure::bad_request(
            "bad_parameter",
            format!("Invalid limit value: 1 to {PAGE_ENTRIES_MAX} expected"),
        )
    })?;
    Ok((query.text("cursor")?.unwrap_or_default().to_owned(), limit))
}

/// The first `limit` entries, and the name to continue after if there are more.
fn take_page<'a, T: 'a>(
    mut entries: impl Iterator<Item = &'a T>,
    limit: usize,
    name: impl Fn(&'a T) -> &'a str,
    shown: impl Fn(&'a T) -> Value,
) -> (Vec<Value>, Option<String>) {
    let mut page = Vec::new();
    let mut last = None;
    for entry in entries.by_ref().take(limit) {
        last = Some(name(entry).to_owned());
        page.push(shown(entry));
    }
    let more = entries.next().is_some();
    (page, last.filter(|_| more))
}

fn user_json(user: &User, view: &State) -> Value {
    json!({
        "username": user.name.as_str(),
        "email": user.email,
        "admin": user.admin,
        "effective_admin": view.is_administrator(user),
        "profile_updatable": user.profile_updatable,
        "disable_ui_access": user.disable_ui_access,
        "internal_password_disabled": user.internal_password_disabled,
        "realm": user.realm,
        "groups": user.groups,
        "status": user.status.as_str(),
    })
}

fn group_json(group: &Group, view: &State) -> Value {
    json!({
        "name": group.name,
        "description": group.description,
        "auto_join": group.auto_join,
        "admin_privileges": group.admin_privileges,
        "realm": group.realm,
        "external_id": group.realm_attributes,
        "members": members(view, &group.name).map(UserName::as_str).collect::<Vec<_>>(),
    })
}
