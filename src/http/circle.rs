//! The endpoints of pairing with other clusters.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use circlet_token::ServiceId;
use serde_json::json;

use super::answer;
use super::body::{Parameters, Reads};
use super::call::Call;
use crate::authenticate::Caller;
use crate::seal::hex_decode;
use crate::usecase::circle::{self, Acceptance, Guest};
use crate::usecase::failure::Failure;

pub(super) async fn list(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    Ok(answer::json(&circle::all(&session).await?))
}

pub(super) async fn invite(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::Json)?;
    parameters.only(&["guest", "hosts"])?;
    let guest = parameters.text("guest")?.map(ServiceId::parse).transpose();
    let guest = guest.map_err(|malformed| Failure::bad_request("bad_service_id", malformed.to_string()))?;
    let invited = circle::invite(&session, guest, parameters.list("hosts")?).await?;
    let body = json!({
        "invitation": invited.text.expose_text(),
        "expires_at": invited.expires_at,
        "circle_key": invited.fingerprint,
    });
    Ok(answer::at_index(answer::json_status(StatusCode::CREATED, &body), invited.index))
}

pub(super) async fn introduce(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::Json)?;
    parameters.only(&["hosts"])?;
    let introductions = circle::introduce_all(&session, parameters.list("hosts")?).await?;
    Ok(answer::json(&json!({ "introductions": introductions })))
}

pub(super) async fn accept(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::Json)?;
    parameters.only(&["invitation", "name", "hosts", "one_way"])?;
    let order = Acceptance {
        text: required(&parameters, "invitation")?,
        name: parameters.text("name")?.map(str::to_owned),
        hosts: parameters.list("hosts")?,
        one_way: parameters.flag("one_way")?.unwrap_or(false),
    };
    let (published, issuer, index) = circle::accept(&session, order).await?;
    let member = circle::one(&session, &published, &issuer)?;
    Ok(answer::at_index(answer::json_status(StatusCode::CREATED, &member), index))
}

/// Needs no credential but the proof: whoever pairs has none of ours.
pub(super) async fn pair(call: Call) -> Result<Response, Failure> {
    let session = call.session_of(Caller::Anonymous);
    let parameters = call.parameters(Reads::Json)?;
    parameters.only(&["id", "introduction", "proof"])?;
    let id = required(&parameters, "id")?;
    let id = hex_decode(&id)
        .and_then(|id| id.try_into().ok())
        .ok_or_else(|| Failure::bad_request("bad_parameter", "id must be 32 hexadecimal digits"))?;
    let introduction = required(&parameters, "introduction")?;
    let proof =
        circle::pair(&session, Guest { id, introduction, proof: required(&parameters, "proof")? }).await?;
    Ok(answer::json(&json!({ "proof": proof })))
}

pub(super) async fn dismiss(Path(named): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let index = circle::dismiss(&session, &named).await?;
    Ok(answer::at_index(answer::empty(StatusCode::NO_CONTENT), index))
}

fn required(parameters: &Parameters, name: &str) -> Result<String, Failure> {
    let missing = || Failure::bad_request("missing_parameter", format!("{name} is required"));
    Ok(parameters.text(name)?.ok_or_else(missing)?.to_owned())
}
