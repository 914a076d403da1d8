//! System endpoints: pings, version, service id, certificates, health (contract section 1.7).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use circlet_authority::State as View;
use circlet_raft::Published;
use serde_json::json;

use super::answer;
use super::call::Call;
use super::edge::Edge;
use crate::authenticate::tokens::Rules;
use crate::health::Missing;
use crate::metrics::CONTENT_TYPE;
use crate::usecase::failure::{Code, Failure};
use crate::usecase::reading;

/// Base64 characters on a line of PEM (RFC 7468 section 2).
const PEM_LINE_CHARS: usize = 64;

/// Whether this node serves: freshness was proved once, and not too long ago.
fn is_ready(call: &Call, published: &Published<View>) -> bool {
    published.view.service_id().is_some() && reading::may_read(&call.edge.cluster, published)
}

/// Anonymous is fine; a credential that doesn't count is not: clients ping to test one.
pub(super) async fn ping_with_credential(call: Call) -> Result<Response, Failure> {
    call.caller(Rules::HERE).await?;
    ping(call).await
}

pub(super) async fn ping(call: Call) -> Result<Response, Failure> {
    if is_ready(&call, &call.published()) {
        return Ok(answer::text("OK"));
    }
    Err(Failure::unavailable("not_ready", "Server state is offline")
        .with_detail("this node has not proved, or not lately, that its view is fresh"))
}

pub(super) async fn version(call: Call) -> Result<Response, Failure> {
    call.caller(Rules::HERE).await?;
    Ok(answer::json(&json!({
        "version": call.edge.settings.advertised_version,
        "revision": env!("CARGO_PKG_VERSION"),
        "addons": [],
        "license": "MIT OR Apache-2.0",
        "product": "circlet",
    })))
}

pub(super) async fn service_id(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    session.require_admin("read the service id").await?;
    let published = reading::current(&call.edge.cluster).await?;
    let own = published.view.service_id().ok_or_else(not_bootstrapped)?;
    Ok(answer::text(own.as_str().to_owned()))
}

pub(super) async fn root_certificate(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    session.require_admin("read the root certificate").await?;
    let formatted = call.query()?.flag("formatted")?.unwrap_or(false);
    let published = reading::current(&call.edge.cluster).await?;
    let key = published.view.active_key().ok_or_else(not_bootstrapped)?;
    let text = if formatted { pem(&key.certificate_der) } else { STANDARD.encode(&key.certificate_der) };
    Ok(answer::text(text))
}

pub(super) async fn cluster_certificate(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    session.require_admin("read the certificate of the cluster").await?;
    let published = reading::current(&call.edge.cluster).await?;
    let der = published.view.cluster_ca_certificate().ok_or_else(not_bootstrapped)?;
    Ok(answer::text(pem(der)))
}

/// Clients report usage here; it is read and forgotten.
pub(super) async fn usage(_call: Call) -> Response {
    answer::text("")
}

fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = String::with_capacity(base64.len() + base64.len() / PEM_LINE_CHARS + 64);
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE_CHARS));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// Scripts read the service id out of this; it is no secret, every token carries it.
pub(super) async fn router_health(call: Call) -> Response {
    let published = call.published();
    let ready = is_ready(&call, &published);
    let state = if ready { "HEALTHY" } else { "UNHEALTHY" };
    let message = if ready { "OK" } else { "no proof that the view is fresh" };
    let id = published.view.service_id().map(ToString::to_string);
    let node = call.edge.cluster.status().id.to_string();
    let service = json!({"service_id": id, "node_id": node, "state": state, "message": message});
    answer::json(&json!({
        "router": {"node_id": node, "state": state, "message": message},
        "services": [service],
    }))
}

/// `GET /metrics`, for administrators. Where Prometheus has no credential, `metrics.listen` opens a door for it alone.
pub(super) async fn metrics(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    session.require_admin("see the metrics").await?;
    page(&call.edge).await
}

/// The same without a credential: only where the operator has opened a door for it.
pub(super) async fn open_metrics(State(edge): State<Arc<Edge>>) -> Result<Response, Failure> {
    page(&edge).await
}

async fn page(edge: &Edge) -> Result<Response, Failure> {
    let metrics = edge.metrics.clone();
    let text = tokio::task::spawn_blocking(move || metrics.text()).await;
    let text = text.map_err(|error| {
        tracing::error!(%error, "the page of metrics could not be written");
        Failure::new(Code::Internal, "internal", "Internal error")
    })?;
    Ok(answer::with_type(text, CONTENT_TYPE))
}

pub(super) async fn healthz(_call: Call) -> Response {
    answer::text("OK")
}

/// Whether to send requests here, and what is missing. A node without a leader issues and verifies plain tokens, and is
/// ready for that; `?for=writes` asks for all that it could serve.
pub(super) async fn readyz(call: Call) -> Result<Response, Failure> {
    let for_writes = match call.query()?.text("for")? {
        None => false,
        Some("writes") => true,
        Some(other) => {
            let allowed = format!("'{other}' is nothing to be ready for; `writes` is, or nothing at all");
            return Err(Failure::bad_request("bad_parameter", allowed));
        }
    };
    let published = call.published();
    let cluster = &call.edge.cluster;
    let status = cluster.status();
    let missing = call.edge.health.missing(&status, &published);
    let serves = !missing.iter().any(|missing| missing.stops_all);
    let ready = if for_writes { missing.is_empty() } else { serves };
    let body = json!({
        "ready": ready,
        // What needs no leader; and all the rest.
        "serves": {"plain_tokens": serves, "everything": missing.is_empty()},
        "missing": missing.iter().map(Missing::json).collect::<Vec<_>>(),
        "fresh": reading::is_fresh(cluster, &published),
        "leader": status.leader,
        "node": status.id,
        "applied_index": published.index,
        "view_age_ms": published.age_ms(cluster.instants()),
        // By which others see whose clock is off.
        "wall_ms": cluster.instants().wall_ms,
        "stopped": status.stopped,
    });
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(answer::json_value(code, &body))
}

fn not_bootstrapped() -> Failure {
    Failure::unavailable("not_bootstrapped", "the cluster has not been initialised; run `circlet init` first")
}
