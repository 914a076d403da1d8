//! From a request to its answer: route, body, freshness asked for, handler, and the shape of what went wrong.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use circlet_authority::State;
use circlet_raft::Published;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request};
use serde_json::json;

use super::answer::{Response, X_CIRCLET_INDEX};
use super::body::{Parameters, Reads};
use super::errors::Shape;
use super::request_id::{RequestId, X_REQUEST_ID};
use super::route::{self, Endpoint};
use super::{access, circlet, legacy, system, users_legacy, users_v2};
use crate::audit::{Audit, Change, Entity, Line};
use crate::authenticate::credential::Credential;
use crate::authenticate::signatures::Signatures;
use crate::authenticate::tokens::Rules;
use crate::authenticate::{Caller, authenticate};
use crate::cluster::Cluster;
use crate::home::Network;
use crate::password::Passwords;
use crate::usecase::Session;
use crate::usecase::failure::{Code, Failure};
use crate::usecase::issue::IDEMPOTENCY_KEY_BYTES_MAX;

/// The largest body that is read, in bytes: a token pair and a certificate fit many times.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// A body that takes longer to arrive is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request waits for the index that it asks for.
const INDEX_TIMEOUT: Duration = Duration::from_secs(5);

/// What an operator sets per node for the edge.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What `system/version` says: clients choose by it which endpoints they use (contract section 1.7).
    pub advertised_version: String,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
}

/// The version that clients are told unless the operator says otherwise: the first with `force_revocable`, which
/// is the newest parameter served here, and a patch level that no release had.
pub const ADVERTISED_VERSION: &str = "7.50.3";

impl Default for Settings {
    fn default() -> Self {
        Self { advertised_version: ADVERTISED_VERSION.to_owned(), trusted_proxies: Vec::new() }
    }
}

/// Everything that answering takes; shared by all connections.
pub struct Edge {
    pub(crate) cluster: Cluster,
    pub(crate) passwords: Passwords,
    pub(crate) audit: Audit,
    pub(crate) settings: Settings,
    pub(crate) signatures: Signatures,
}

/// One request, read.
pub(crate) struct Call<'a> {
    pub(crate) edge: &'a Edge,
    pub(crate) method: &'a Method,
    /// How this endpoint's clients read errors, and so which API it belongs to.
    pub(crate) shape: Shape,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: Option<&'a str>,
    pub(crate) body: Bytes,
    pub(crate) request_id: &'a RequestId,
    /// Where the client is, as far as trusted proxies say.
    pub(crate) address: IpAddr,
}

impl Edge {
    /// An edge on this cluster.
    #[must_use]
    pub fn new(cluster: Cluster, passwords: Passwords, audit: Audit, settings: Settings) -> Self {
        Self { cluster, passwords, audit, settings, signatures: Signatures::new() }
    }

    /// Answers one request. Whatever happens, the answer is JSON in the shape of the path's API, and has an id.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response {
        let request_id = RequestId::of(request.headers());
        let route = route::route(request.uri().path());
        let shape = route.shape;
        let handled = async {
            let endpoint = route.endpoint.map_err(|error| error.failure(request.uri().path()))?;
            self.handle(request, &endpoint, shape, peer, &request_id).await
        };
        let mut response = match AssertUnwindSafe(handled).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => failure.answer(shape, &request_id),
            Err(_panic) => {
                tracing::error!(%request_id, "a request handler panicked");
                Failure::new(Code::Internal, "internal", "Internal error")
                    .with_detail(format!("the log of the node says more about request {request_id}"))
                    .answer(shape, &request_id)
            }
        };
        response.headers_mut().insert(X_REQUEST_ID, request_id.header());
        response
    }

    async fn handle(
        &self,
        request: Request<Incoming>,
        endpoint: &Endpoint,
        shape: Shape,
        peer: SocketAddr,
        request_id: &RequestId,
    ) -> Result<Response, Failure> {
        let (head, incoming) = request.into_parts();
        let allow = endpoint.allow();
        if !allow.split(", ").any(|method| method == head.method.as_str()) {
            return Err(Failure::method_not_allowed(allow));
        }
        let body = match head.method {
            Method::GET | Method::HEAD => Bytes::new(),
            _ => read_body(&head.headers, incoming).await?,
        };
        let call = Call {
            edge: self,
            method: &head.method,
            shape,
            headers: &head.headers,
            query: head.uri.query(),
            body,
            request_id,
            address: self.client_address(&head.headers, peer),
        };
        call.wait_for_index().await?;
        // Boxed: the handlers' futures are large, and their type would be too deep for the compiler.
        let answering: BoxFuture<'_, _> = Box::pin(call.dispatch(endpoint));
        answering.await
    }

    /// The address that a trusted proxy reports: the last one in `X-Forwarded-For` that is no trusted proxy itself.
    fn client_address(&self, headers: &HeaderMap, peer: SocketAddr) -> IpAddr {
        let direct = peer.ip().to_canonical();
        let trusted =
            |address: IpAddr| self.settings.trusted_proxies.iter().any(|network| network.contains(address));
        if !trusted(direct) {
            return direct;
        }
        let reported = headers.get_all("x-forwarded-for");
        let hops: Vec<IpAddr> = reported
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map_while(|hop| hop.trim().parse().ok())
            .collect();
        hops.into_iter().rev().find(|hop| !trusted(*hop)).unwrap_or(direct)
    }
}

impl Call<'_> {
    /// The view to read from.
    pub(crate) fn published(&self) -> Arc<Published<State>> {
        self.edge.cluster.published()
    }

    /// Who asks, judged by these rules.
    pub(crate) async fn caller(&self, rules: Rules<'_>) -> Result<Caller, Failure> {
        let found = authenticate(self.edge, self.headers, self.address, rules).await;
        let found = found.and_then(|caller| self.password_allowed(caller));
        if let Err(failure) = &found {
            self.record_refused(failure);
        }
        found
    }

    /// The Access API takes passwords only where `token.allow-basic-auth` says so (contract section 1.2, 2).
    fn password_allowed(&self, caller: Caller) -> Result<Caller, Failure> {
        let refused = self.shape == Shape::Access
            && matches!(caller, Caller::User(_))
            && !self.published().view.config().allow_basic_auth;
        if refused {
            let detail = "passwords are not accepted here (token.allow-basic-auth); use a token";
            return Err(Failure::unauthorized("basic_auth_off", detail));
        }
        Ok(caller)
    }

    /// The session of whoever asks.
    pub(crate) async fn session(&self) -> Result<Session<'_>, Failure> {
        self.session_under(Rules::HERE).await
    }

    /// The session of whoever asks, judged by these rules.
    pub(crate) async fn session_under(&self, rules: Rules<'_>) -> Result<Session<'_>, Failure> {
        Ok(self.session_of(self.caller(rules).await?))
    }

    /// The session of a caller who is known already.
    pub(crate) fn session_of(&self, caller: Caller) -> Session<'_> {
        Session {
            cluster: &self.edge.cluster,
            passwords: &self.edge.passwords,
            audit: &self.edge.audit,
            request_id: self.request_id.as_str(),
            address: self.address,
            caller,
        }
    }

    /// The header that makes a repeated create give the same token.
    pub(crate) fn idempotency_key(&self) -> Result<Option<String>, Failure> {
        let Some(value) = self.headers.get("idempotency-key") else { return Ok(None) };
        let usable = |text: &&str| (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len());
        value.to_str().ok().filter(usable).map(|text| Some(text.to_owned())).ok_or_else(|| {
            Failure::bad_request(
                "bad_idempotency_key",
                format!(
                    "the Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"
                ),
            )
        })
    }

    /// An audit line for a credential that was refused. Expired tokens are left out: clients that hammer with one
    /// would fill the disk and tell nothing.
    fn record_refused(&self, failure: &Failure) {
        if !matches!(failure.code(), Code::Unauthorized | Code::Forbidden) || failure.reason() == "expired" {
            return;
        }
        if !self.published().view.config().audit_enabled {
            return;
        }
        let name = match Credential::read(self.headers) {
            Ok(Credential::Basic { name, .. }) => name,
            _ => "token".to_owned(),
        };
        self.edge.audit.record(&Line {
            request_id: self.request_id.as_str(),
            address: Some(self.address),
            user: &name,
            principal: "UNKNOWN",
            entity_name: &name,
            change: Change::Refused,
            entity: Entity::Login,
            data: json!({"refused": {"reason": failure.reason()}}),
        });
    }

    /// The parameters of the body.
    pub(crate) fn parameters(&self, reads: Reads) -> Result<Parameters, Failure> {
        let content_type = match self.headers.get(CONTENT_TYPE) {
            Some(value) => Some(value.to_str().map_err(|_| {
                Failure::new(Code::UnsupportedMediaType, "content_type", "the content type is not readable")
            })?),
            None => None,
        };
        Ok(Parameters::read(content_type, &self.body, reads)?)
    }

    /// The parameters of the query.
    pub(crate) fn query(&self) -> Result<Parameters, Failure> {
        Ok(Parameters::read_query(self.query)?)
    }

    /// A request may name the least index that the answering view must hold, or ask for a fresh view.
    async fn wait_for_index(&self) -> Result<(), Failure> {
        if let Some(value) = self.headers.get(X_CIRCLET_INDEX) {
            let index = value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| {
                Failure::bad_request("bad_index", "the header X-Circlet-Index must be a whole number")
            })?;
            if self.published().index < index {
                self.edge.cluster.wait_index(index, INDEX_TIMEOUT).await.map_err(|_| {
                    let reached = self.published().index;
                    Failure::unavailable(
                        "index_not_reached",
                        format!("this node has applied {reached}, not yet {index}"),
                    )
                })?;
            }
        }
        if self.query.is_some_and(|query| query.split('&').any(|pair| pair == "consistency=strong")) {
            crate::usecase::reading::fresh(&self.edge.cluster).await?;
        }
        Ok(())
    }

    async fn dispatch(&self, endpoint: &Endpoint) -> Result<Response, Failure> {
        match endpoint {
            Endpoint::Verify => circlet::verify(self).await,
            Endpoint::Tokens | Endpoint::Token(_) | Endpoint::TokenRevoke | Endpoint::DefaultExpiry => {
                access::serve(self, endpoint).await
            }
            Endpoint::LegacyTokens | Endpoint::LegacyRevoke => legacy::serve(self, endpoint).await,
            Endpoint::LegacyUsers
            | Endpoint::LegacyUser(_)
            | Endpoint::LegacyGroups
            | Endpoint::LegacyGroup(_) => users_legacy::serve(self, endpoint).await,
            Endpoint::Users | Endpoint::User(_) | Endpoint::Groups | Endpoint::Group(_) => {
                users_v2::serve(self, endpoint).await
            }
            Endpoint::Trust
            | Endpoint::TrustedIssuer(_)
            | Endpoint::Config
            | Endpoint::Setting(_)
            | Endpoint::Cluster(_) => circlet::serve(self, endpoint).await,
            Endpoint::Ping
            | Endpoint::AccessPing
            | Endpoint::Version
            | Endpoint::ServiceId
            | Endpoint::Usage
            | Endpoint::RootCertificate
            | Endpoint::ClusterCertificate
            | Endpoint::RouterHealth
            | Endpoint::Healthz
            | Endpoint::Readyz => system::serve(self, endpoint).await,
        }
    }
}

async fn read_body(headers: &HeaderMap, incoming: Incoming) -> Result<Bytes, Failure> {
    let too_large = || {
        Failure::new(
            Code::TooLarge,
            "body_too_large",
            format!("the body is larger than {BODY_BYTES_MAX} bytes"),
        )
    };
    let announced =
        headers.get(hyper::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let reading = tokio::time::timeout(BODY_TIMEOUT, Limited::new(incoming, BODY_BYTES_MAX).collect());
    match reading.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            Err(Failure::bad_request("broken_body", format!("the body could not be read: {error}")))
        }
        Err(_elapsed) => {
            let secs = BODY_TIMEOUT.as_secs();
            Err(Failure::new(
                Code::Timeout,
                "body_timeout",
                format!("the body did not arrive within {secs} s"),
            ))
        }
    }
}
