//! `/circlet/v1/cluster`: the nodes.

use hyper::{Method, StatusCode};
use serde_json::json;

use super::answer::{self, Response};
use super::body::Reads;
use super::call::Call;
use crate::usecase::failure::Failure;
use crate::usecase::{Session, cluster};

/// Serves what lies below `/circlet/v1/cluster`.
pub(crate) async fn serve(
    call: &Call<'_>,
    session: &Session<'_>,
    path: &[String],
) -> Result<Response, Failure> {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    match (names.as_slice(), call.method) {
        ([] | ["status" | "nodes"], &(Method::GET | Method::HEAD)) => {
            Ok(answer::json_value(StatusCode::OK, &cluster::status(session).await?))
        }
        (["tokens"], &Method::POST) => mint(session).await,
        (["nodes", node], &Method::DELETE) => {
            cluster::remove(session, node).await?;
            Ok(answer::empty(StatusCode::NO_CONTENT))
        }
        (["leader"], &Method::POST) => transfer(call, session).await,
        ([] | ["status" | "nodes"], _) => Err(Failure::method_not_allowed("GET, HEAD")),
        (["tokens" | "leader"], _) => Err(Failure::method_not_allowed("POST")),
        (["nodes", _], _) => Err(Failure::method_not_allowed("DELETE")),
        _ => Err(Failure::not_found(format!("there is nothing at /circlet/v1/cluster/{}", names.join("/")))),
    }
}

async fn mint(session: &Session<'_>) -> Result<Response, Failure> {
    let minted = cluster::mint_join_token(session).await?;
    let body = json!({ "token": minted.text.expose_text(), "expires_at": minted.expires_at });
    Ok(answer::at_index(answer::json_value(StatusCode::OK, &body), minted.index))
}

async fn transfer(call: &Call<'_>, session: &Session<'_>) -> Result<Response, Failure> {
    let parameters = call.parameters(Reads::FormOrJson)?;
    parameters.only(&["to"])?;
    let to = parameters.text("to")?.ok_or_else(|| {
        Failure::bad_request(
            "missing_parameter",
            "the parameter to is required: the name or id of a voting node",
        )
    })?;
    cluster::transfer(session, to).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}
