//! Users and groups as the older API speaks of them: `/api/security/{users,groups}` (contract section 1.7).

use circlet_authority::{Group, PutMode, State, User};
use circlet_token::UserName;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{self, Response};
use super::body::{Parameters, Reads};
use super::call::Call;
use super::percent;
use super::route::Endpoint;
use crate::secret::Secret;
use crate::usecase::Session;
use crate::usecase::failure::Failure;
use crate::usecase::groups::{self, GroupOrder};
use crate::usecase::users::{self, UserOrder};

/// Serves the four endpoints.
pub(crate) async fn serve(call: &Call<'_>, endpoint: &Endpoint) -> Result<Response, Failure> {
    let session = call.session().await?;
    match (endpoint, call.method) {
        (Endpoint::LegacyUsers, _) => list_users(&session).await,
        (Endpoint::LegacyUser(name), &Method::PUT) => {
            put_user(call, &session, name, PutMode::CreateOrUpdate).await
        }
        (Endpoint::LegacyUser(name), &Method::POST) => put_user(call, &session, name, PutMode::Update).await,
        (Endpoint::LegacyUser(name), &Method::DELETE) => delete_user(&session, name).await,
        (Endpoint::LegacyUser(name), _) => read_user(&session, name).await,
        (Endpoint::LegacyGroups, _) => list_groups(&session).await,
        (Endpoint::LegacyGroup(name), &Method::PUT) => {
            put_group(call, &session, name, PutMode::CreateOrUpdate).await
        }
        (Endpoint::LegacyGroup(name), &Method::POST) => {
            put_group(call, &session, name, PutMode::Update).await
        }
        (Endpoint::LegacyGroup(name), &Method::DELETE) => delete_group(&session, name).await,
        (Endpoint::LegacyGroup(name), _) => read_group(call, &session, name).await,
        _ => Err(Failure::method_not_allowed(endpoint.allow())),
    }
}

async fn list_users(session: &Session<'_>) -> Result<Response, Failure> {
    let published = users::all(session).await?;
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

async fn read_user(session: &Session<'_>, name: &str) -> Result<Response, Failure> {
    let name = users::user_name(name)?;
    let published = users::find(session, &name).await?;
    Ok(answer::json(&user_json(users::expect(&published, &name)?)))
}

async fn put_user(
    call: &Call<'_>,
    session: &Session<'_>,
    name: &str,
    mode: PutMode,
) -> Result<Response, Failure> {
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
    let written = users::put(session, name, mode, order).await?;
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer::at_index(answer::empty(status), written.index))
}

async fn delete_user(session: &Session<'_>, name: &str) -> Result<Response, Failure> {
    let name = users::user_name(name)?;
    let text = format!("The user: '{name}' has been removed successfully.");
    let index = users::delete(session, name).await?;
    Ok(answer::at_index(answer::text(text), index))
}

async fn list_groups(session: &Session<'_>) -> Result<Response, Failure> {
    let published = groups::all(session).await?;
    let list: Vec<Value> = published
        .view
        .groups()
        .map(|group| json!({"name": group.name, "uri": format!("/api/security/groups/{}", percent::encode(&group.name))}))
        .collect();
    Ok(answer::json(&list))
}

async fn read_group(call: &Call<'_>, session: &Session<'_>, name: &str) -> Result<Response, Failure> {
    let name = groups::group_name(name)?;
    let with_users = call.query()?.flag("includeUsers")?.unwrap_or(false);
    let published = groups::find(session, &name).await?;
    let group = groups::expect(&published, &name)?;
    Ok(answer::json(&group_json(group, with_users.then_some(&published.view))))
}

async fn put_group(
    call: &Call<'_>,
    session: &Session<'_>,
    name: &str,
    mode: PutMode,
) -> Result<Response, Failure> {
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
    let written = groups::put(session, &name, mode, order).await?;
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer::at_index(answer::empty(status), written.index))
}

async fn delete_group(session: &Session<'_>, name: &str) -> Result<Response, Failure> {
    let name = groups::group_name(name)?;
    let text = format!("Group '{name}' has been removed successfully.");
    let index = groups::delete(session, &name).await?;
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
