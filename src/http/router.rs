//! Which path and method lead to which handler: the whole table, under every alias (contract section 1.1).

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use tower::Service;

use super::admission::Client;
use super::body::Reads::{Form, FormOrJson, Json};
use super::call::{Asked, Call};
use super::edge::{self, Edge};
use super::openapi::{self, does, tells};
use super::routes::Routes;
use super::{
    access, backup, circle, circlet, cluster, feed, import, keys, legacy, path, system, trust, users_legacy,
    users_v2, watermarks,
};
use crate::usecase::failure::Code::{
    self, Conflict, Forbidden, InvalidGrant, NotFound, RefreshUnknown, TooMuchAsked,
};
use crate::usecase::failure::Failure;

const NO_CONTENT: StatusCode = StatusCode::NO_CONTENT;

/// What is asked far more often than everything else, and costs so little that finding its handler would cost as much.
const VERIFY: &str = "/circlet/v1/verify";

/// What is served at a door. Clones are handles to the same.
#[derive(Clone)]
pub(super) enum App {
    /// Everything.
    All(Arc<Edge>, Router),
    /// The page of metrics: what needs no credential and tells no secret.
    Metrics(Router),
}

impl App {
    /// All of the table.
    pub(super) fn all(edge: Arc<Edge>) -> Self {
        let routes = served().into_router();
        let routes = routes.fallback(no_such_path).method_not_allowed_fallback(method_not_allowed);
        Self::All(Arc::clone(&edge), routes.with_state(edge))
    }

    /// What is served where `metrics.listen` says.
    pub(super) fn metrics(edge: Arc<Edge>) -> Self {
        Self::Metrics(Router::new().route("/metrics", get(system::open_metrics)).with_state(edge))
    }

    /// Answers a request of this client.
    pub(super) async fn answer(self, request: Request<Incoming>, client: &Client) -> Response {
        match self {
            Self::All(edge, routes) => edge::answer(&edge, routes, request, client).await,
            Self::Metrics(routes) => find(routes, request).await,
        }
    }
}

/// Hands a request to its handler. What is in the table is found there, but for the one route that is known at sight.
pub(super) async fn handle(
    edge: &Arc<Edge>,
    routes: Router,
    mut request: Request<Incoming>,
    asked: Asked,
) -> Response {
    if request.method() == Method::GET && request.uri().path() == VERIFY {
        asked.attempt.took_known(VERIFY);
        let (head, _no_body) = request.into_parts();
        let answered = async { circlet::verify(Call::read(edge, head, None, asked).await?).await };
        return answered.await.into_response();
    }
    request.extensions_mut().insert(asked);
    find(routes, request).await
}

async fn find(mut routes: Router, request: Request<Incoming>) -> Response {
    // A router is always ready.
    let found: Result<Response, Infallible> = routes.call(request.map(Body::new)).await;
    found.unwrap_or_else(|never| match never {})
}

/// The table, with every alias.
fn served() -> Routes {
    let ours = own().and(trusting());
    let routes = path::ACCESS.into_iter().fold(ours, |routes, prefix| routes.and(access_api().below(prefix)));
    path::ARTIFACTORY.into_iter().fold(routes, |routes, prefix| routes.and(artifactory_api().below(prefix)))
}

/// The table, with each endpoint where it is at home.
pub(super) fn documented() -> Routes {
    own().and(trusting()).and(access_api().below("/access")).and(artifactory_api().below("/artifactory/api"))
}

/// Those of the circle of trust.
#[rustfmt::skip]
fn trusting() -> Routes {
    Routes::default()
        .get("/circlet/v1/trust", trust::list_issuers, does("listIssuers", "The trusted issuers").gives("Issuers"))
        .post("/circlet/v1/trust", trust::add_issuer, does("addIssuer", "Trusts a certificate")
            .reads(Json, "NewIssuer").creates("Issuer").may(&[Conflict]))
        .get("/circlet/v1/trust/{issuer}", trust::show_issuer, does("showIssuer", "Trusted certificates by key id, name or service id")
            .gives("Issuers").may(&[NotFound]))
        .patch("/circlet/v1/trust/{issuer}", trust::limit_issuer, does("limitIssuer", "Changes the limits named, of all certificates that are meant")
            .reads(Json, "IssuerChange").gives("Issuers").may(&[NotFound]).overtaken(&[Conflict]))
        .delete("/circlet/v1/trust/{issuer}", trust::remove_issuer, does("removeIssuer", "Distrusts by key id, name or service id")
            .gives_nothing(NO_CONTENT).may(&[NotFound]))
        .get("/circlet/v1/circle", circle::list, does("showCircle", "The members of the circle, and how far their revocations are known").gives("Circle"))
        .post("/circlet/v1/circle/invitations", circle::invite, does("inviteMember", "Makes an invitation into the circle, for one other cluster")
            .reads(Json, "NewInvitation").creates("Invitation").may(&[Conflict]).overtaken(&[NotFound]))
        .post("/circlet/v1/circle/introductions", circle::introduce, does("introduce", "This cluster and its members as a verifier without a node gets to know them")
            .reads(Json, "IntroductionOrder").gives("Introductions").overtaken(&[Conflict]))
        .post("/circlet/v1/circle/members", circle::accept, does("acceptInvitation", "Pairs with the cluster that made an invitation")
            .reads(Json, "Acceptance").creates("Member").may(&[Conflict]).overtaken(&[NotFound]))
        .post("/circlet/v1/circle/pair", circle::pair, tells("pair", "How a cluster that accepts an invitation introduces itself")
            .reads(Json, "Guest").gives("Paired").may(&[Forbidden, Conflict]))
        .get("/circlet/v1/circle/challenge", circle::challenge, tells("challenge", "What a member signs to have a token revoked here")
            .query("member", "string", "The service id of the member").gives("Challenge"))
        .post("/circlet/v1/circle/revocations", circle::revoke, tells("revokeForMember", "How a member has a token revoked here, as its limits allow")
            .reads(Json, "RevokeOrder").gives("Verdict").may(&[Forbidden]))
        .post("/circlet/v1/circle/key", circle::rotate_key, does("rotateCircleKey", "Replaces the circle key; the one before signs which is next")
            .gives("CircleKey").may(&[NotFound, Conflict]))
        .delete("/circlet/v1/circle/members/{member}", circle::dismiss, does("dismissMember", "Ends following a member and trusting it, by name or service id")
            .gives_nothing(NO_CONTENT).may(&[NotFound]))
        .get("/circlet/v1/feed", feed::entries, tells("feed", "What was revoked after a position of the feed, signed")
            .query("nonce", "string", "32 bytes in hexadecimal digits, drawn for this question")
            .query("generation", "integer", "Of the position").query("sequence", "integer", "Of the position")
            .query("hash", "string", "Of the position, in hexadecimal digits")
            .query("wait_ms", "integer", "How long to wait for something new")
            .query("member", "string", "The service id of the member that asks")
            .query("taken", "string", "Its signature: it has taken over the feed up to the position; in hexadecimal digits").gives_bytes().may(&[NotFound]))
        .get("/circlet/v1/feed/head", feed::head, tells("feedHead", "Where the feed stands, signed with a date: for verifiers that are no members").gives_bytes().may(&[NotFound]))
        .get("/circlet/v1/feed/list", feed::list, tells("feedList", "A page of everything that is revoked, signed")
            .query("nonce", "string", "32 bytes in hexadecimal digits, drawn for this question")
            .query("cursor", "string", "What the page before names; empty for the first").gives_bytes().may(&[NotFound]))
}

/// The endpoints of our own.
#[rustfmt::skip]
fn own() -> Routes {
    let nodes = |id| does(id, "What this node knows of itself and of the others").gives("ClusterStatus");
    Routes::default()
        .get(VERIFY, circlet::verify, does("verify", "What the credential is worth, also in headers")
            .query("audience", "string", "The service id to judge a token for; this cluster's if absent").gives("Worth"))
        .get("/circlet/v1/limits", circlet::limits_of_tokens, does("limits", "What the caller may ask for when creating a token")
            .gives("TokenLimits"))
        .post("/circlet/v1/import/tokens", import::tokens, does("importTokens", "Records live tokens of the installation whose key was adopted")
            .reads(Json, "ListedTokens").gives("ImportedTokens").may(&[Conflict]).overtaken(&[NotFound]))
        .get("/circlet/v1/config", circlet::list_settings, does("listSettings", "The replicated settings").gives("Settings"))
        .patch("/circlet/v1/config", circlet::change_settings, does("changeSettings", "Changes the settings named, and no others")
            .reads(Json, "SettingChanges").gives("Settings").may(&[NotFound, Conflict]))
        .get("/circlet/v1/config/{setting}", circlet::show_setting, does("showSetting", "One setting").gives("Setting").may(&[NotFound]))
        .put("/circlet/v1/config/{setting}", circlet::change_setting, does("changeSetting", "Changes one setting")
            .reads(Json, "SettingValue").gives("Setting").may(&[NotFound]).overtaken(&[Conflict]))
        .delete("/circlet/v1/config/{setting}", circlet::reset_setting, does("resetSetting", "Sets a setting back to its default")
            .gives("Setting").may(&[NotFound]).overtaken(&[Conflict]))
        .get("/circlet/v1/config/history", circlet::list_changes, does("listChanges", "Who changed which settings, newest first").gives("SettingsHistory"))
        .get("/circlet/v1/keys", keys::list, does("listKeys", "The signing keys").gives("Keys"))
        .post("/circlet/v1/keys", keys::rotate, does("rotateKey", "Publishes a new key, which signs once every node has unsealed it")
            .reads(FormOrJson, "KeyRotation").creates("Key").may(&[Conflict]).overtaken(&[NotFound]))
        .get("/circlet/v1/keys/{key}", keys::show, does("showKey", "One signing key, by its id, or as active or next").gives("Key").may(&[NotFound]))
        .delete("/circlet/v1/keys/{key}", keys::cancel, does("cancelKey", "Gives up a published key before it signs")
            .gives("Key").may(&[NotFound, Conflict]))
        .post("/circlet/v1/keys/{key}/taint", keys::taint, does("taintKey", "Refuses at once whatever a key signed; another one signs in its place")
            .gives("Key").may(&[NotFound, Conflict]))
        .post("/circlet/v1/keys/{key}/retire", keys::retire, does("retireKey", "Lets a replaced key go, vouching for tokens from before its adoption")
            .gives("Key").may(&[NotFound, Conflict]))
        .get("/circlet/v1/watermarks", watermarks::list, does("listWatermarks", "What was revoked together").gives("Watermarks"))
        .post("/circlet/v1/watermarks", watermarks::revoke, does("revokeTogether", "Revokes everything of a user, of some subjects, of a group or of a key, or what was issued in a stretch of time; or counts it")
            .reads(Json, "RevokeTogether").gives("RevokedTogether").may(&[NotFound]))
        .post("/circlet/v1/backup", backup::make, does("backup", "What outlives the cluster, sealed under a passphrase or under the master key")
            .reads(Json, "BackupOrder").gives_bytes())
        .get("/circlet/v1/cluster", cluster::status, nodes("cluster"))
        .get("/circlet/v1/cluster/status", cluster::status, nodes("clusterStatus"))
        .get("/circlet/v1/cluster/nodes", cluster::status, nodes("clusterNodes"))
        .delete("/circlet/v1/cluster/nodes/{node}", cluster::remove, does("removeNode", "Removes a node, by name or id, for ever")
            .gives_nothing(NO_CONTENT).may(&[NotFound, Conflict]))
        .post("/circlet/v1/cluster/nodes/{node}/lost", cluster::remove_lost, does("removeLostNode", "Removes a node whose disk somebody may have, or had removed, and replaces all that it knew")
            .gives("LostNode").may(&[NotFound, Conflict]))
        .post("/circlet/v1/cluster/master-key", cluster::rotate_master_key, does("rotateMasterKey", "Puts a new master key in the place of the present one, once every node holds it")
            .gives("MasterKey").overtaken(&[Conflict]))
        .post("/circlet/v1/cluster/ca", cluster::rotate_ca, does("rotateCa", "Puts a CA on a new key in the place of the cluster's")
            .gives("Ca").overtaken(&[Conflict]))
        .post("/circlet/v1/cluster/tokens", cluster::mint, does("mintJoinToken", "Makes a token for one node to join with")
            .gives("JoinToken").may(&[Conflict]))
        .post("/circlet/v1/cluster/leader", cluster::transfer, does("transferLeadership", "Hands the leadership to a voting node")
            .reads(FormOrJson, "Transfer").gives_nothing(NO_CONTENT).may(&[NotFound, Conflict]))
        .get("/circlet/v1/openapi.json", openapi::serve, tells("openapi", "This document").gives("Anything"))
        .get("/router/api/v1/system/health", system::router_health, tells("routerHealth", "The health of this node, with the service id").gives("RouterHealth"))
        .get("/metrics", system::metrics, does("metrics", "The page of metrics, for Prometheus").gives_metrics())
        .get("/healthz", system::healthz, tells("healthz", "Whether the process answers").gives_text())
        .get("/readyz", system::readyz, tells("readyz", "Whether to send requests to this node, and what is missing")
            .query("for", "string", "`writes`: ready only if nothing is missing; plain tokens are served without a leader").gives("Readiness").gives_unavailable("Readiness"))
}

/// The Access API, as it is below each of its prefixes.
#[rustfmt::skip]
fn access_api() -> Routes {
    let expiry = |id| does(id, "The lifetime of a token that asks for none").gives("DefaultExpiry");
    let set_expiry = |id| does(id, "Changes the lifetime of a token that asks for none")
        .reads(FormOrJson, "NewDefaultExpiry").gives("DefaultExpiry").overtaken(&[Conflict]);
    Routes::default()
        .get("/api/v1/tokens", access::list, does("listTokens", "Recorded tokens: all for administrators, the own for others")
            .query("username", "string", "Of this user").query("description", "string", "With this description; a * at the end stands for any text")
            .query("parent", "string", "Created with this token").query("refreshable", "boolean", "Only those that are, or are not").query("token_id", "string", "With this id")
            .query("order_by", "string", "created, token_id, owner, subject or expiry").query("descending_order", "boolean", "The last first")
            .query("limit", "integer", "Tokens on a page").query("cursor", "string", "Where the page before ended").gives("Tokens"))
        .post("/api/v1/tokens", access::create_or_refresh, does("createToken", "Creates a token, or refreshes one (grant_type=refresh_token)")
            .reads(FormOrJson, "NewToken").gives("CreatedToken").may(&[Conflict, TooMuchAsked, RefreshUnknown, InvalidGrant]))
        .get("/api/v1/tokens/{id}", access::show, does("showToken", "One token; `me` is that of the request").gives("Token").may(&[NotFound]))
        .delete("/api/v1/tokens/{id}", access::revoke_by_id, does("revokeToken", "Revokes a token; 204 if it was before")
            .query("cascade", "boolean", "What was created with it as well")
            .query("issuer", "string", "The member of the circle that issued it, by name or service id: it is asked, if circle.forward-revoke is set")
            .gives("RevokedById").gives_nothing(NO_CONTENT).may(&[NotFound, Conflict]))
        .delete("/api/v1/tokens/revoke", access::revoke_by_value, does("revokeTokenByValue", "Revokes a token by its value; 204 if it was before")
            .reads(FormOrJson, "TokenValue").gives("RevokedByValue").gives_nothing(NO_CONTENT).may(&[NotFound, Conflict]))
        .get("/api/v1/tokens/default_expiry", access::default_expiry, expiry("defaultExpiry"))
        .put("/api/v1/tokens/default_expiry", access::change_default_expiry, set_expiry("changeDefaultExpiry"))
        .get("/api/v1/config/token/default_expiry", access::default_expiry, expiry("configuredDefaultExpiry"))
        .put("/api/v1/config/token/default_expiry", access::change_default_expiry, set_expiry("changeConfiguredDefaultExpiry"))
        .get("/api/v1/system/ping", system::ping, tells("accessPing", "OK, if this node serves").gives_text())
        .get("/api/v1/cert/root", system::root_certificate, does("rootCertificate", "The certificate of the active token key: base64 of the DER")
            .query("formatted", "boolean", "As PEM").gives_text())
        .get("/api/v1/cert/ca", system::cluster_certificate, does("clusterCertificate", "The certificate of the cluster's CA, in PEM").gives_text())
        .get("/api/v2/users", users_v2::list_users, does("listUsers", "All users, in pages")
            .query("limit", "integer", "Users on a page").query("cursor", "string", "Where the page before ended").gives("Users"))
        .post("/api/v2/users", users_v2::create_user, does("createUser", "Creates a user").reads(Json, "NewUser").creates("User").may(&[Conflict]))
        .get("/api/v2/users/{name}", users_v2::read_user, does("showUser", "One user").gives("User").may(&[NotFound]))
        .patch("/api/v2/users/{name}", users_v2::change_user, does("changeUser", "Changes what is named of a user")
            .reads(Json, "UserChanges").gives("User").may(&[NotFound, Conflict]))
        .delete("/api/v2/users/{name}", users_v2::delete_user, does("deleteUser", "Deletes a user, and ends the tokens of that name")
            .gives_nothing(NO_CONTENT).may(&[NotFound, Conflict]))
        .get("/api/v2/groups", users_v2::list_groups, does("listGroups", "All groups, in pages")
            .query("limit", "integer", "Groups on a page").query("cursor", "string", "Where the page before ended").gives("Groups"))
        .post("/api/v2/groups", users_v2::create_group, does("createGroup", "Creates a group").reads(Json, "NewGroup").creates("Group").may(&[Conflict]))
        .get("/api/v2/groups/{name}", users_v2::read_group, does("showGroup", "One group").gives("Group").may(&[NotFound]))
        .patch("/api/v2/groups/{name}", users_v2::change_group, does("changeGroup", "Changes what is named of a group")
            .reads(Json, "GroupChanges").gives("Group").may(&[NotFound, Conflict]))
        .delete("/api/v2/groups/{name}", users_v2::delete_group, does("deleteGroup", "Deletes a group")
            .gives_nothing(NO_CONTENT).may(&[NotFound, Conflict]))
}

/// The older API, as it is below each of its prefixes.
#[rustfmt::skip]
fn artifactory_api() -> Routes {
    let put_user = |id, summary| does(id, summary).reads(Json, "LegacyUserChanges").gives_nothing(StatusCode::OK).may(&[Conflict]);
    let put_group = |id, summary| does(id, summary).reads(Json, "LegacyGroupChanges").gives_nothing(StatusCode::OK).may(&[Conflict]);
    Routes::default()
        .get("/security/token", legacy::list, does("legacyListTokens", "All recorded tokens; a header says if there are more")
            .query("limit", "integer", "Tokens on a page").query("cursor", "string", "Where the page before ended").gives("LegacyTokens"))
        .post("/security/token", legacy::create_or_refresh, does("legacyCreateToken", "Creates a token, or refreshes one (grant_type=refresh_token)")
            .reads(Form, "LegacyNewToken").gives("LegacyCreatedToken").may(&[Conflict, TooMuchAsked, RefreshUnknown, InvalidGrant]))
        .post("/security/token/revoke", legacy::revoke, does("legacyRevokeToken", "Revokes a token by its value or its id")
            .reads(Form, "LegacyRevoke").gives_text().may(&[Conflict]))
        .get("/security/users", users_legacy::list_users, does("legacyListUsers", "All users").gives("LegacyUsers"))
        .get("/security/users/{name}", users_legacy::read_user, does("legacyShowUser", "One user").gives("LegacyUser").may(&[NotFound]))
        .put("/security/users/{name}", users_legacy::create_or_update_user, put_user("legacyPutUser", "Creates or changes a user")
            .gives_nothing(StatusCode::CREATED))
        .post("/security/users/{name}", users_legacy::update_user, put_user("legacyChangeUser", "Changes a user").may(&[NotFound]))
        .delete("/security/users/{name}", users_legacy::delete_user, does("legacyDeleteUser", "Deletes a user, and ends the tokens of that name")
            .gives_text().may(&[NotFound, Conflict]))
        .get("/security/groups", users_legacy::list_groups, does("legacyListGroups", "All groups").gives("LegacyGroups"))
        .get("/security/groups/{name}", users_legacy::read_group, does("legacyShowGroup", "One group")
            .query("includeUsers", "boolean", "With the names of its users").gives("LegacyGroup").may(&[NotFound]))
        .put("/security/groups/{name}", users_legacy::create_or_update_group, put_group("legacyPutGroup", "Creates or changes a group")
            .gives_nothing(StatusCode::CREATED))
        .post("/security/groups/{name}", users_legacy::update_group, put_group("legacyChangeGroup", "Changes a group").may(&[NotFound]))
        .delete("/security/groups/{name}", users_legacy::delete_group, does("legacyDeleteGroup", "Deletes a group")
            .gives_text().may(&[NotFound, Conflict]))
        .get("/system/ping", system::ping_with_credential, does("ping", "OK, if this node serves and the credential, if any, counts").gives_text())
        .get("/system/version", system::version, does("version", "What clients choose by").gives("Version"))
        .get("/system/service_id", system::service_id, does("serviceId", "The id of this cluster").gives_text())
        .post("/system/usage", system::usage, tells("usage", "Takes what clients tell of themselves, and forgets it").gives_text())
        .put("/system/usage", system::usage, tells("putUsage", "The same").gives_text())
}

async fn no_such_path(uri: Uri) -> Failure {
    Failure::new(NotFound, "no_such_path", "HTTP 404 Not Found")
        .with_detail(format!("nothing is served at {}", uri.path()))
}

/// What the path does serve, axum says in the `Allow` header.
async fn method_not_allowed() -> Failure {
    Failure::new(Code::MethodNotAllowed, "method_not_allowed", "HTTP 405 Method Not Allowed")
}
