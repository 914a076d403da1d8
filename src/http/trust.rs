//! The endpoints of the circle of trust: whose certificates are trusted, and what their tokens may do here.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use circlet_authority::{IssuerLimits, TrustedIssuer};
use circlet_token::Lifetime;
use serde_json::{Value, json};

use super::answer;
use super::body::{Parameters, Reads};
use super::call::Call;
use crate::usecase::circle;
use crate::usecase::failure::Failure;
use crate::usecase::trust::{self, TrustOrder};

pub(super) async fn add_issuer(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::Json)?;
    parameters.only(&["name", "certificate", "service_id", "limits"])?;
    let order = TrustOrder {
        certificate: parameters
            .text("certificate")?
            .ok_or_else(|| Failure::bad_request("missing_parameter", "certificate is required, in PEM"))?
            .to_owned(),
        name: parameters.text("name")?.map(str::to_owned),
        service_id: parameters.text("service_id")?.map(str::to_owned),
        limits: limits(&parameters)?,
    };
    let (published, kid, index) = trust::add(&session, order).await?;
    let issuer = published.view.trusted(&kid).ok_or_else(|| trust::unknown(kid.as_str()))?;
    Ok(answer::at_index(answer::json_status(StatusCode::CREATED, &issuer_json(issuer)), index))
}

fn limits(parameters: &Parameters) -> Result<IssuerLimits, Failure> {
    match parameters.value("limits") {
        None | Some(Value::Null) => Ok(IssuerLimits::default()),
        Some(value @ Value::Object(_)) => changed(&IssuerLimits::default(), value),
        Some(_) => Err(bad_limits()),
    }
}

/// `PATCH /circlet/v1/trust/{issuer}`: changes the limits that are named, of all certificates that the path means.
pub(super) async fn limit_issuer(Path(named): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::Json)?;
    parameters.only(&["limits"])?;
    let Some(limits @ Value::Object(_)) = parameters.value("limits") else { return Err(bad_limits()) };
    let (published, index) = trust::limit(&session, &named, |before| changed(before, limits)).await?;
    let issuers: Vec<Value> =
        trust::matching(&published.view, &named).map(|issuer| issuer_json(issuer)).collect();
    Ok(answer::at_index(answer::json(&json!({ "issuers": issuers })), index))
}

fn bad_limits() -> Failure {
    Failure::bad_request(
        "bad_parameter",
        "Invalid limits value (an object with admin, groups, max_lifetime, audiences and revoke expected)",
    )
}

/// The limits after a change: a field that is absent stays, one that is null is no limit any more.
fn changed(before: &IssuerLimits, change: &Value) -> Result<IssuerLimits, Failure> {
    let fields = Parameters::read_json(change.to_string().as_bytes())?;
    fields.only(&["admin", "groups", "max_lifetime", "audiences", "revoke"])?;
    let mut limits = before.clone();
    let named = |name| fields.value(name).is_some();
    if named("admin") {
        limits.admin = fields.flag("admin")?.unwrap_or(false);
    }
    if named("revoke") {
        limits.revoke = fields.flag("revoke")?.unwrap_or(false);
    }
    if named("groups") {
        limits.groups = groups(&fields)?;
    }
    if named("max_lifetime") {
        let secs = fields.whole("max_lifetime")?.map(u64::try_from).transpose();
        limits.max_lifetime = secs.map_err(|_| bad_limits())?.map(Lifetime::from_secs);
    }
    if named("audiences") {
        limits.audiences = fields.list("audiences")?.map(|list| list.into_iter().collect());
    }
    Ok(limits)
}

/// Their groups and what they stand for here: an object, or a list of those that stand for themselves.
fn groups(fields: &Parameters) -> Result<Option<BTreeMap<String, String>>, Failure> {
    match fields.value("groups") {
        Some(Value::Object(map)) => {
            let ours = |(theirs, ours): (&String, &Value)| {
                ours.as_str().map(|ours| (theirs.clone(), ours.to_owned())).ok_or_else(bad_limits)
            };
            map.iter().map(ours).collect::<Result<_, _>>().map(Some)
        }
        _ => Ok(fields
            .list("groups")?
            .map(|list| list.into_iter().map(|group| (group.clone(), group)).collect())),
    }
}

pub(super) async fn list_issuers(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let published = trust::all(&session).await?;
    let issuers: Vec<Value> = published.view.circle().map(|issuer| issuer_json(issuer)).collect();
    Ok(answer::json(&json!({ "issuers": issuers })))
}

pub(super) async fn show_issuer(Path(named): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let published = trust::all(&session).await?;
    let issuers: Vec<Value> =
        trust::matching(&published.view, &named).map(|issuer| issuer_json(issuer)).collect();
    if issuers.is_empty() {
        return Err(trust::unknown(&named));
    }
    Ok(answer::json(&json!({ "issuers": issuers })))
}

pub(super) async fn remove_issuer(Path(named): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let index = trust::remove(&session, &named).await?;
    Ok(answer::at_index(answer::empty(StatusCode::NO_CONTENT), index))
}

fn issuer_json(issuer: &TrustedIssuer) -> Value {
    json!({
        "name": trust::display_name(issuer),
        "service_id": issuer.issuer.as_str(),
        "kid": issuer.kid.as_str(),
        "algorithm": issuer.algorithm.as_str(),
        "common_name": issuer.common_name,
        "not_after": issuer.not_after,
        "by_feed": issuer.by_feed,
        "limits": circle::limits_json(&issuer.limits),
    })
}
