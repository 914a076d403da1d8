//! Which path and method lead to which handler: the whole table, under every alias (contract section 1.1).

use std::sync::Arc;

use axum::http::Uri;
use axum::routing::{delete, get, post};
use axum::{Router, middleware};

use super::edge::{self, Edge};
use super::{access, circlet, cluster, legacy, path, system, users_legacy, users_v2};
use crate::usecase::failure::{Code, Failure};

/// Everything that is served.
///
/// The routes are the fallback of a router around them, whose layer so comes before the choice of a route: it folds
/// slashes, and also says what went wrong where nothing is.
pub(super) fn app(edge: Arc<Edge>) -> Router {
    let routes: Router = routes().with_state(Arc::clone(&edge));
    Router::new().fallback_service(routes).layer(middleware::from_fn_with_state(edge, edge::answer))
}

fn routes() -> Router<Arc<Edge>> {
    let router = path::ACCESS.into_iter().fold(own(), |router, prefix| router.nest(prefix, access_api()));
    path::ARTIFACTORY
        .into_iter()
        .fold(router, |router, prefix| router.nest(prefix, artifactory_api()))
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
}

/// The endpoints of our own.
fn own() -> Router<Arc<Edge>> {
    Router::new()
        .route("/circlet/v1/verify", get(circlet::verify))
        .route("/circlet/v1/trust", get(circlet::list_issuers).post(circlet::add_issuer))
        .route("/circlet/v1/trust/{issuer}", get(circlet::show_issuer).delete(circlet::remove_issuer))
        .route("/circlet/v1/config", get(circlet::list_settings).patch(circlet::change_settings))
        .route(
            "/circlet/v1/config/{setting}",
            get(circlet::show_setting).put(circlet::change_setting).delete(circlet::reset_setting),
        )
        .route("/circlet/v1/cluster", get(cluster::status))
        .route("/circlet/v1/cluster/status", get(cluster::status))
        .route("/circlet/v1/cluster/nodes", get(cluster::status))
        .route("/circlet/v1/cluster/nodes/{node}", delete(cluster::remove))
        .route("/circlet/v1/cluster/tokens", post(cluster::mint))
        .route("/circlet/v1/cluster/leader", post(cluster::transfer))
        .route("/router/api/v1/system/health", get(system::router_health))
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
}

/// The Access API, as it is below each of its prefixes.
fn access_api() -> Router<Arc<Edge>> {
    let default_expiry = get(access::default_expiry).put(access::change_default_expiry);
    Router::new()
        .route("/api/v1/tokens", get(access::list).post(access::create_or_refresh))
        .route("/api/v1/tokens/{id}", get(access::show).delete(access::revoke_by_id))
        .route("/api/v1/tokens/revoke", delete(access::revoke_by_value))
        .route("/api/v1/tokens/default_expiry", default_expiry.clone())
        .route("/api/v1/config/token/default_expiry", default_expiry)
        .route("/api/v1/system/ping", get(system::ping))
        .route("/api/v1/cert/root", get(system::root_certificate))
        .route("/api/v1/cert/ca", get(system::cluster_certificate))
        .route("/api/v2/users", get(users_v2::list_users).post(users_v2::create_user))
        .route(
            "/api/v2/users/{name}",
            get(users_v2::read_user).patch(users_v2::change_user).delete(users_v2::delete_user),
        )
        .route("/api/v2/groups", get(users_v2::list_groups).post(users_v2::create_group))
        .route(
            "/api/v2/groups/{name}",
            get(users_v2::read_group).patch(users_v2::change_group).delete(users_v2::delete_group),
        )
}

/// The older API, as it is below each of its prefixes.
fn artifactory_api() -> Router<Arc<Edge>> {
    Router::new()
        .route("/security/token", get(legacy::list).post(legacy::create_or_refresh))
        .route("/security/token/revoke", post(legacy::revoke))
        .route("/security/users", get(users_legacy::list_users))
        .route(
            "/security/users/{name}",
            get(users_legacy::read_user)
                .put(users_legacy::create_or_update_user)
                .post(users_legacy::update_user)
                .delete(users_legacy::delete_user),
        )
        .route("/security/groups", get(users_legacy::list_groups))
        .route(
            "/security/groups/{name}",
            get(users_legacy::read_group)
                .put(users_legacy::create_or_update_group)
                .post(users_legacy::update_group)
                .delete(users_legacy::delete_group),
        )
        .route("/system/ping", get(system::ping_with_credential))
        .route("/system/version", get(system::version))
        .route("/system/service_id", get(system::service_id))
        .route("/system/usage", post(system::usage).put(system::usage))
}

async fn no_such_path(uri: Uri) -> Failure {
    Failure::new(Code::NotFound, "no_such_path", "HTTP 404 Not Found")
        .with_detail(format!("nothing is served at {}", uri.path()))
}

/// What the path does serve, axum says in the `Allow` header.
async fn method_not_allowed() -> Failure {
    Failure::new(Code::MethodNotAllowed, "method_not_allowed", "HTTP 405 Method Not Allowed")
}
