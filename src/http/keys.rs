//! `/circlet/v1/keys`: the cluster's signing keys.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use circlet_authority::{Key, KeyState, State};
use circlet_token::{Algorithm, read_certificate};
use serde_json::{Value, json};

use super::answer;
use super::body::Reads;
use super::call::Call;
use crate::audit;
use crate::certificates;
use crate::clock::Now;
use crate::usecase::failure::Failure;
use crate::usecase::keys::{self, Turned};

pub(super) async fn list(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let published = keys::read(&session).await?;
    let now = session.cluster.now_at(&published);
    let mut all: Vec<&Key> = published.view.keyring().map(AsRef::as_ref).collect();
    // What signs first, and what is long gone last.
    all.sort_by_key(|key| (key.state == KeyState::Retired, std::cmp::Reverse(key.since_index)));
    let all: Vec<Value> = all.into_iter().map(|key| key_json(&published.view, key, now)).collect();
    Ok(answer::json(&json!({ "keys": all })))
}

pub(super) async fn show(Path(key): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let published = keys::read(&session).await?;
    let now = session.cluster.now_at(&published);
    Ok(answer::json(&key_json(&published.view, keys::find(&published.view, &key)?, now)))
}

pub(super) async fn rotate(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::FormOrJson)?;
    parameters.only(&["algorithm", "overlap"])?;
    let algorithm = match parameters.text("algorithm")? {
        None => None,
        Some(text) => Some(algorithm(text)?),
    };
    let overlap = match parameters.whole("overlap")? {
        None => None,
        Some(secs) => Some(u64::try_from(secs).map_err(|_| {
            Failure::bad_request(
                "bad_parameter",
                format!("Invalid overlap value: {secs} (seconds, 0 or more)"),
            )
        })?),
    };
    let turned = keys::rotate(&session, algorithm, overlap).await?;
    Ok(turned_json(StatusCode::CREATED, &turned, session.cluster.now()))
}

pub(super) async fn cancel(Path(key): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let turned = keys::cancel(&session, &key).await?;
    Ok(turned_json(StatusCode::OK, &turned, session.cluster.now()))
}

pub(super) async fn taint(Path(key): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let turned = keys::taint(&session, &key).await?;
    Ok(turned_json(StatusCode::OK, &turned, session.cluster.now()))
}

pub(super) async fn retire(Path(key): Path<String>, call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let turned = keys::retire(&session, &key).await?;
    Ok(turned_json(StatusCode::OK, &turned, session.cluster.now()))
}

fn algorithm(text: &str) -> Result<Algorithm, Failure> {
    match text.to_ascii_lowercase().as_str() {
        "eddsa" => Ok(Algorithm::EdDsa),
        "rs256" => Ok(Algorithm::Rs256),
        _ => Err(Failure::bad_request(
            "bad_parameter",
            format!("Invalid algorithm value: '{text}' (eddsa or rs256 expected)"),
        )),
    }
}

fn turned_json(status: StatusCode, turned: &Turned, now: Now) -> Response {
    let view = &turned.published.view;
    let body = view.key(&turned.kid).map_or(Value::Null, |key| key_json(view, key, now));
    answer::at_index(answer::json_value(status, &body), turned.index)
}

fn key_json(view: &State, key: &Key, now: Now) -> Value {
    let facts = read_certificate(&key.certificate_der).ok();
    let names: Vec<String> = view
        .unconfirmed(key)
        .filter(|_| key.state == KeyState::Published)
        .map(|id| view.node(id).map_or_else(|| id.to_string(), |node| node.record.name.clone()))
        .collect();
    let unaware: Vec<String> = view
        .members_unaware(key)
        .filter(|_| key.state == KeyState::Published)
        .map(|member| member.approved.name.clone())
        .collect();
    let waits = match key.state {
        KeyState::Published => view.key_waits(key, now.millis()),
        KeyState::Retiring => view.key_is_needed(key, now.millis(), false),
        KeyState::Active | KeyState::Retired | KeyState::Tainted => None,
    };
    json!({
        "kid": key.kid.as_str(),
        "state": key.state.as_str(),
        "algorithm": key.algorithm.as_str(),
        "origin": key.origin.as_str(),
        "common_name": facts.as_ref().and_then(|facts| facts.common_name.clone()),
        "not_after": facts.map(|facts| audit::date_of(facts.not_after)),
        "since": audit::timestamp(key.since_ms),
        "age": now.millis().saturating_sub(key.since_ms) / 1000,
        "recorded_tokens": view.signed_by(&key.kid),
        "unconfirmed": names,
        "unaware": unaware,
        "waits": waits,
        "certificate": certificates::certificate_pem(&key.certificate_der),
    })
}
