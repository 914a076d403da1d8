//! The endpoints of pairing with other clusters.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use circlet_token::{ServiceId, TokenId};
use serde_json::json;

use super::answer;
use super::body::{Parameters, Reads};
use super::call::Call;
use crate::authenticate::Caller;
use crate::circle::forward::BY_BYTES_MAX;
use crate::circle::pairing::Guest;
use crate::seal::hex_decode;
use crate::usecase::circle::{self, Acceptance};
use crate::usecase::failure::Failure;
use crate::usecase::forward::{self, Asked};

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

/// Needs no credential: a challenge is worth nothing without the circle key of the member.
pub(super) async fn challenge(call: Call) -> Result<Response, Failure> {
    let session = call.session_of(Caller::Anonymous);
    let query = call.query()?;
    query.only(&["member"])?;
    let member = service_id(&required(&query, "member")?)?;
    let challenge = forward::challenge_for(&session, &member).await?;
    Ok(answer::json(&json!({ "challenge": challenge })))
}

/// Needs no credential but the signature of a member.
pub(super) async fn revoke(call: Call) -> Result<Response, Failure> {
    let session = call.session_of(Caller::Anonymous);
    let parameters = call.parameters(Reads::Json)?;
    parameters.only(&["member", "token_id", "cascade", "by", "challenge", "nonce", "signature"])?;
    let bytes = |name: &str| {
        let bytes = hex_decode(&required(&parameters, name)?);
        bytes.ok_or_else(|| {
            Failure::bad_request("bad_parameter", format!("{name} must be hexadecimal digits"))
        })
    };
    let nonce = bytes("nonce")?.try_into();
    let by = required(&parameters, "by")?;
    if by.len() > BY_BYTES_MAX {
        return Err(Failure::bad_request("bad_parameter", format!("by has at most {BY_BYTES_MAX} bytes")));
    }
    let asked = Asked {
        member: service_id(&required(&parameters, "member")?)?,
        id: TokenId::parse(&required(&parameters, "token_id")?)
            .map_err(|_| Failure::bad_request("bad_parameter", "token_id must be a token's id"))?,
        cascade: parameters.flag("cascade")?.unwrap_or(false),
        by,
        challenge: bytes("challenge")?,
        nonce: nonce
            .map_err(|_| Failure::bad_request("bad_parameter", "nonce must be 64 hexadecimal digits"))?,
        signature: bytes("signature")?,
    };
    let (verdict, signature) = forward::judge(&session, &asked).await?;
    Ok(answer::json(&json!({ "verdict": verdict, "signature": signature })))
}

fn service_id(text: &str) -> Result<ServiceId, Failure> {
    ServiceId::parse(text).map_err(|malformed| Failure::bad_request("bad_service_id", malformed.to_string()))
}

pub(super) async fn rotate_key(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let (fingerprint, index) = circle::rotate(&session).await?;
    Ok(answer::at_index(answer::json(&json!({ "circle_key": fingerprint })), index))
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
