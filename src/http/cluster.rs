//! `/circlet/v1/cluster`: the nodes.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::answer;
use super::body::Reads;
use super::call::Call;
use crate::usecase::cluster;
use crate::usecase::failure::Failure;

pub(super) async fn status(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    Ok(answer::json_value(
        StatusCode::OK,
        &cluster::status(&session, &call.edge.watched.problems, &call.edge.health).await?,
    ))
}

pub(super) async fn remove(Path(node): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    cluster::remove(&session, &node).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
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
