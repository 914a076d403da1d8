//! Users and groups as the older API speaks of them: `/api/security/{users,groups}` (contract section 1.7).

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use circlet_authority::{Group, PutMode, State, User};
use circlet_token::UserName;
use serde_json::{Value, json};

use super::answer;
use super::body::{Parameters, Reads};
use super::call::Call;
use crate::percent;
use crate::secret::Secret;
use crate::usecase::failure::Failure;
use crate::usecase::groups::{self, GroupOrder};
use crate::usecase::users::{self, UserOrder};

pub(super) async fn list_users(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let published = users::all(&session).await?;
    let list: Vec<Value> = published
        .view
        .users()
        .map(|user| {
            let uri = format!("/api/security/users/{}", percent::encode(user.name.as_str()));
            json!({"name": user.name.as_str(), "uri": uri, "realm": user.realm})
        })
        .collect();
    Ok(answer::json(&list))
}

pub(super) async fn read_user(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let name = users::user_name(&name)?;
    let published = users::find(&session, &name).await?;
    Ok(answer::json(&user_json(users::expect(&published, &name)?)))
}

pub(super) async fn create_or_update_user(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    put_user(&call, &name, PutMode::CreateOrUpdate).await
}

pub(super) async fn update_user(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    put_user(&call, &name, PutMode::Update).await
}

async fn put_user(call: &Call, name: &str, mode: PutMode) -> Result<Response, Failure> {
    let session = call.session().await?;
    let parameters = call.parameters(Reads::Json)?;
    let name = named(&parameters, name, users::user_name)?;
    let order = UserOrder {
        email: parameters.text_or_empty("email")?.map(str::to_owned),
        password: parameters.text("password")?.map(|text| Secret::from(text.to_owned())),
        admin: parameters.flag("admin")?,
        groups: parameters.list("groups")?.map(|list| list.into_iter().collect()),
        status: None,
        realm: parameters.text("realm")?.map(str::to_owned),
        profile_updatable: parameters.flag("profileUpdatable")?,
        internal_password_disabled: parameters.flag("internalPasswordDisabled")?,
        disable_ui_access: parameters.flag("disableUIAccess")?,
    };
    let written = users::put(&session, name, mode, order).await?;
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer::at_index(answer::empty(status), written.index))
}

pub(super) async fn delete_user(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let name = users::user_name(&name)?;
    let text = format!("The user: '{name}' has been removed successfully.");
    let index = users::delete(&session, name).await?;
    Ok(answer::at_index(answer::text(text), index))
}

pub(super) async fn list_groups(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let published = groups::all(&session).await?;
    let list: Vec<Value> = published
        .view
        .groups()
        .map(|group| json!({"name": group.name, "uri": format!("/api/security/groups/{}", percent::encode(&group.name))}))
        .collect();
    Ok(answer::json(&list))
}

pub(super) async fn read_group(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let name = groups::group_name(&name)?;
    let with_users = call.query()?.flag("includeUsers")?.unwrap_or(false);
    let published = groups::find(&session, &name).await?;
    let group = groups::expect(&published, &name)?;
    Ok(answer::json(&group_json(group, with_users.then_some(&published.view))))
}

pub(super) async fn create_or_update_group(
    Path(name): Path<String>,
    call: Call,
) -> Result<Response, Failure> {
    put_group(&call, &name, PutMode::CreateOrUpdate).await
}

pub(super) async fn update_group(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    put_group(&call, &name, PutMode::Update).await
}

async fn put_group(call: &Call, name: &str, mode: PutMode) -> Result<Response, Failure> {
    let session = call.session().await?;
    let parameters = call.parameters(Reads::Json)?;
    let name = named(&parameters, name, groups::group_name)?;
    let members = match parameters.list("userNames")? {
        Some(names) => Some(names.iter().map(|name| users::user_name(name)).collect::<Result<_, _>>()?),
        None => None,
    };
    let order = GroupOrder {
        description: parameters.text_or_empty("description")?.map(str::to_owned),
        auto_join: parameters.flag("autoJoin")?,
        admin_privileges: parameters.flag("adminPrivileges")?,
        realm_attributes: parameters.text_or_empty("realmAttributes")?.map(str::to_owned),
        members,
    };
    let written = groups::put(&session, &name, mode, order).await?;
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer::at_index(answer::empty(status), written.index))
}

pub(super) async fn delete_group(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    let name = groups::group_name(&name)?;
    let text = format!("Group '{name}' has been removed successfully.");
    let index = groups::delete(&session, &name).await?;
    Ok(answer::at_index(answer::text(text), index))
}

/// The name in the path counts; one in the body must be the same.
fn named<T: PartialEq>(
    parameters: &Parameters,
    in_path: &str,
    parse: impl Fn(&str) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let name = parse(in_path)?;
    match parameters.text("name")? {
        Some(text) if parse(text)? != name => Err(Failure::bad_request(
            "name_mismatch",
            format!("the body names '{text}', the path '{in_path}'"),
        )),
        _ => Ok(name),
    }
}

fn user_json(user: &User) -> Value {
    json!({
        "name": user.name.as_str(),
        "email": user.email,
        "admin": user.admin,
        "profileUpdatable": user.profile_updatable,
        "disableUIAccess": user.disable_ui_access,
        "internalPasswordDisabled": user.internal_password_disabled,
        "groups": user.groups,
        "realm": user.realm,
    })
}

fn group_json(group: &Group, with_users: Option<&State>) -> Value {
    let mut value = json!({
        "name": group.name,
        "description": group.description,
        "autoJoin": group.auto_join,
        "adminPrivileges": group.admin_privileges,
        "realm": group.realm,
        "realmAttributes": group.realm_attributes,
    });
    if let (Some(view), Some(object)) = (with_users, value.as_object_mut()) {
        object.insert("userNames".to_owned(), members(view, &group.name).map(UserName::as_str).collect());
    }
    value
}

/// The users in a group, in order.
pub(super) fn members<'a>(view: &'a State, group: &'a str) -> impl Iterator<Item = &'a UserName> {
    view.users().filter(move |user| user.groups.contains(group)).map(|user| &user.name)
}
