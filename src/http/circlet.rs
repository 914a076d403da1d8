//! The endpoints of our own: verification for proxies, the configuration, the nodes.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::header::{HeaderName, HeaderValue};
use axum::response::Response;
use circlet_authority::{Config, ConfigChange, ConfigError, Generation, Setting, State, Unit};
use circlet_token::ServiceId;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::answer;
use super::body::Reads;
use super::call::Call;
use crate::audit;
use crate::authenticate::tokens::Rules;
use crate::percent;
use crate::usecase::failure::Failure;
use crate::usecase::verify::{self, Standing, Worth};
use crate::usecase::{Session, bounds, config};

/// What stays readable in a header: the characters of subjects that mean nothing to a header's reader.
const HEADER_KEPT: &[u8] = b"/@:*+=!$&'()";

const X_CIRCLET_SUBJECT: HeaderName = HeaderName::from_static("x-circlet-subject");
const X_CIRCLET_USER: HeaderName = HeaderName::from_static("x-circlet-user");
const X_CIRCLET_GROUPS: HeaderName = HeaderName::from_static("x-circlet-groups");
const X_CIRCLET_ADMIN: HeaderName = HeaderName::from_static("x-circlet-admin");
const X_CIRCLET_REVOCABLE: HeaderName = HeaderName::from_static("x-circlet-revocable");
const X_CIRCLET_EXPIRES: HeaderName = HeaderName::from_static("x-circlet-expires");

/// What an accepted credential is worth.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the wire form: four independent facts")]
struct VerifyAnswer<'a> {
    subject: Option<&'a str>,
    user: &'a str,
    groups: &'a BTreeSet<String>,
    admin: bool,
    /// Seconds since 1970; null never expires.
    expires_at: Option<u64>,
    revocable: bool,
    transient: bool,
    foreign: bool,
    index: u64,
}

/// `GET /circlet/v1/verify`: what the credential is worth, as JSON and in headers. `?audience=<service id>` judges
/// the token as that service would, so that services without a verifier of their own can ask.
pub(super) async fn verify(call: Call) -> Result<Response, Failure> {
    let service = match call.uri.query() {
        None => None,
        Some(_) => match call.query()?.text("audience")? {
            Some(text) => Some(
                ServiceId::parse(text)
                    .map_err(|malformed| Failure::bad_request("bad_audience", malformed.to_string()))?,
            ),
            None => None,
        },
    };
    let caller = call.caller(Rules { service: service.as_ref(), ..Rules::HERE }).await?;
    let worth = verify::worth(&call.edge.cluster, &caller).await?;
    let body = VerifyAnswer {
        subject: worth.subject.as_ref().map(|subject| subject.as_str()),
        user: &worth.user,
        groups: &worth.groups,
        admin: worth.admin,
        expires_at: worth.expires_at,
        revocable: worth.revocable,
        transient: worth.standing == Standing::Transient,
        foreign: worth.standing == Standing::Foreign,
        index: worth.index,
    };
    let mut response = answer::json(&body);
    describe(&worth, &mut response);
    Ok(response)
}

fn describe(worth: &Worth<'_>, response: &mut Response) {
    let mut groups = String::new();
    for group in &worth.groups {
        if !groups.is_empty() {
            groups.push(',');
        }
        percent::encode_into(group, &mut groups);
    }
    let encoded = |text: &str| {
        let mut encoded = String::with_capacity(text.len());
        percent::encode_except(text, HEADER_KEPT, &mut encoded);
        encoded
    };
    let flag = |flag: bool| HeaderValue::from_static(if flag { "true" } else { "false" });
    // Takes the text's memory over instead of copying it.
    let text = |text: String| {
        HeaderValue::from_maybe_shared(Bytes::from(text)).expect("percent-encoded text is visible ASCII")
    };
    let headers = response.headers_mut();
    if let Some(subject) = &worth.subject {
        headers.insert(X_CIRCLET_SUBJECT, text(encoded(subject.as_str())));
    }
    headers.insert(X_CIRCLET_USER, text(encoded(&worth.user)));
    headers.insert(X_CIRCLET_GROUPS, text(groups));
    headers.insert(X_CIRCLET_ADMIN, flag(worth.admin));
    headers.insert(X_CIRCLET_REVOCABLE, flag(worth.revocable));
    if let Some(expires_at) = worth.expires_at {
        headers.insert(X_CIRCLET_EXPIRES, HeaderValue::from(expires_at));
    }
}

/// `GET /circlet/v1/limits`: what the caller may ask for when creating a token, on either API.
pub(super) async fn limits_of_tokens(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let (published, rights) = bounds::read(&session).await?;
    let view = &published.view;
    let config = view.config();
    let api = |generation| {
        let bounds = bounds::of(view, Some(&rights), generation);
        json!({
            "default_expiry": bounds.default.secs().unwrap_or(0),
            "max_expiry": bounds.longest.secs().unwrap_or(0),
            "revocable_from": bounds.revocable_from,
        })
    };
    Ok(answer::json(&json!({
        "admin": rights.admin,
        "creates_tokens": !rights.foreign && !rights.transient,
        "legacy": api(Generation::Legacy),
        "access": api(Generation::Access),
        "persisted_from": config.persistent_expiry_threshold.max(0),
        "refreshable": rights.admin || config.allow_refreshable,
        "refresh_expiry": config.refresh_expiry,
        "scope_bytes_max": config.scope_bytes_max,
        "audience_bytes_max": config.audience_bytes_max,
        "description_bytes_max": config.description_bytes_max,
    })))
}

pub(super) async fn list_settings(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let published = config::read(&session).await?;
    Ok(answer::json(&settings_json(&published.view)))
}

/// Who changed which settings, newest first.
pub(super) async fn list_changes(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let published = config::read(&session).await?;
    let changes = published.view.config_changes().rev().map(|change| change_json(change));
    Ok(answer::json(&json!({ "changes": changes.collect::<Vec<_>>() })))
}

fn change_json(change: &ConfigChange) -> Value {
    let settings: Map<String, Value> = change
        .settings()
        .map(|(setting, from, to)| {
            (setting.name.to_owned(), json!({"from": typed(setting, &from), "to": typed(setting, &to)}))
        })
        .collect();
    json!({
        "version": change.version,
        "at": audit::timestamp(change.at_ms),
        "by": change.by,
        "settings": settings,
    })
}

pub(super) async fn show_setting(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let published = config::read(&session).await?;
    let body = setting_json(published.view.config(), &name).map_err(|error| config::failure(&error))?;
    Ok(answer::json(&body))
}

pub(super) async fn change_settings(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::Json)?;
    let if_version = match parameters.whole("if_version")? {
        Some(version) => Some(u64::try_from(version).map_err(|_| {
            Failure::bad_request("bad_parameter", format!("Invalid if_version value: {version}"))
        })?),
        None => None,
    };
    let names = parameters.names().filter(|name| *name != "if_version");
    let changes = names
        .map(|name| Ok((name.to_owned(), value_text(name, parameters.value(name))?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    if changes.is_empty() {
        return Err(Failure::bad_request(
            "missing_parameter",
            "name at least one setting, with its new value",
        ));
    }
    let (published, index) = config::change(&session, &changes, if_version).await?;
    Ok(answer::at_index(answer::json(&settings_json(&published.view)), index))
}

pub(super) async fn change_setting(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::Json)?;
    parameters.only(&["value"])?;
    let value = value_text("value", parameters.value("value"))?;
    write_setting(&session, &name, value).await
}

pub(super) async fn reset_setting(Path(name): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let value = Config::default().get(&name).map_err(|error| config::failure(&error))?;
    write_setting(&session, &name, value).await
}

async fn write_setting(session: &Session<'_>, name: &str, value: String) -> Result<Response, Failure> {
    let (published, index) = config::change(session, &[(name.to_owned(), value)], None).await?;
    let body = setting_json(published.view.config(), name).map_err(|error| config::failure(&error))?;
    Ok(answer::at_index(answer::json(&body), index))
}

/// A setting's value as the text that the configuration reads.
fn value_text(name: &str, value: Option<&Value>) -> Result<String, Failure> {
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => Ok(value.to_string()),
        _ => Err(Failure::bad_request(
            "bad_parameter",
            format!("Invalid {name} value (a number, true, false or a text expected)"),
        )),
    }
}

fn settings_json(view: &State) -> Value {
    let settings: Map<String, Value> = Config::settings()
        .iter()
        .filter_map(|setting| {
            let text = view.config().get(setting.name).ok()?;
            Some((setting.name.to_owned(), typed(setting, &text)))
        })
        .collect();
    json!({"version": view.config_version(), "settings": settings})
}

fn setting_json(config: &Config, name: &str) -> Result<Value, ConfigError> {
    let text = config.get(name)?;
    let Some(setting) = Config::settings().iter().find(|setting| setting.name == name) else {
        // A shorter name of the guide's.
        return Ok(json!({"name": name, "value": text}));
    };
    Ok(json!({
        "name": name,
        "value": typed(setting, &text),
        "default": typed(setting, &setting.default_text()),
        "unit": setting.unit.as_str(),
        "allowed": setting.allowed(),
        "doc": setting.doc,
    }))
}

fn typed(setting: &Setting, text: &str) -> Value {
    match setting.unit {
        Unit::Flag => (text == "true").into(),
        _ => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
    }
}
