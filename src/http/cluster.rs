//! `/circlet/v1/cluster`: the nodes.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::answer;
use super::body::Reads;
use super::call::Call;
use crate::certificates;
use crate::seal::hex;
use crate::usecase::failure::Failure;
use crate::usecase::{cluster, turnover};

pub(super) async fn status(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    Ok(answer::json_value(
        StatusCode::OK,
        &cluster::status(&session, &call.edge.watched.problems, &call.edge.health, &call.edge.settings.paths)
            .await?,
    ))
}

pub(super) async fn remove(Path(node): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    cluster::remove(&session, &node).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// Answers when nothing that the node knew is of any worth.
pub(super) async fn remove_lost(Path(node): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let lost = turnover::remove_lost(&session, &node).await?;
    let view = &lost.view;
    let body = json!({
        "id": lost.id,
        "name": lost.name,
        "index": lost.replaced,
        "master_key": view.master_key_fingerprint().map(|fingerprint| hex(&fingerprint)),
        "signing_key": view.active_key().map(|key| key.kid.as_str()),
        "left_to_do": turnover::left_to_do(view),
    });
    Ok(answer::at_index(answer::json(&body), lost.replaced))
}

pub(super) async fn rotate_master_key(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let turned = turnover::rotate_master_key(&session, &call.edge.settings.paths).await?;
    let body = json!({
        "fingerprint": hex(&turned.fingerprint),
        "former": hex(&turned.former),
        "index": turned.index,
    });
    Ok(answer::at_index(answer::json(&body), turned.index))
}

pub(super) async fn rotate_ca(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let turned = turnover::rotate_ca(&session).await?;
    let body = json!({
        "certificate": certificates::certificate_pem(&turned.certificate),
        "expires": turned.not_after,
        "index": turned.index,
    });
    Ok(answer::at_index(answer::json(&body), turned.index))
}

pub(super) async fn mint(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let minted = cluster::mint_join_token(&session).await?;
    let body = json!({ "token": minted.text.expose_text(), "expires_at": minted.expires_at });
    Ok(answer::at_index(answer::json_value(StatusCode::OK, &body), minted.index))
}

pub(super) async fn transfer(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::FormOrJson)?;
    parameters.only(&["to"])?;
    let to = parameters.text("to")?.ok_or_else(|| {
        Failure::bad_request(
            "missing_parameter",
            "the parameter to is required: the name or id of a voting node",
        )
    })?;
    cluster::transfer(&session, to).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}
