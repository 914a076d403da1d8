//! From a request to its answer: route, body, freshness asked for, handler, and the shape of what went wrong.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::{Method, Request};

use super::answer::Response;
use super::call::Call;
use super::errors::Shape;
use super::receive::receive;
use super::request_id::{RequestId, X_REQUEST_ID};
use super::route::{self, Endpoint};
use super::{access, circlet, legacy, system, users_legacy, users_v2};
use crate::audit::Audit;
use crate::authenticate::signatures::Signatures;
use crate::cluster::Cluster;
use crate::home::Network;
use crate::password::Passwords;
use crate::usecase::failure::{Code, Failure};

/// What an operator sets per node for the edge.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What `system/version` says: clients choose by it which endpoints they use (contract section 1.7).
    pub advertised_version: String,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
}

/// The version that clients are told unless the operator says otherwise: the first with `force_revocable`, which is
/// the newest parameter served here.
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
            _ => receive(&head.headers, incoming).await?,
        };
        let call = Call {
            edge: self,
            method: &head.method,
            shape,
            headers: &head.headers,
            query: head.uri.query(),
            body,
            request_id,
            address: client_address(&self.settings.trusted_proxies, &head.headers, peer),
        };
        call.wait_for_view().await?;
        // Boxed: the handlers' futures are large, and their type would be too deep for the compiler. The hot one
        // has a small box of its own.
        if *endpoint == Endpoint::Verify {
            let answering: BoxFuture<'_, _> = Box::pin(circlet::verify(&call));
            return answering.await;
        }
        let answering: BoxFuture<'_, _> = Box::pin(dispatch(&call, endpoint));
        answering.await
    }
}

/// The address that a trusted proxy reports: the last one in `X-Forwarded-For` that is no trusted proxy itself. What
/// stands before something unreadable was written by whoever wrote that, and is not believed.
fn client_address(proxies: &[Network], headers: &HeaderMap, peer: SocketAddr) -> IpAddr {
    let trusted = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    let direct = peer.ip().to_canonical();
    if !trusted(direct) {
        return direct;
    }
    let reported = headers.get_all("x-forwarded-for").iter().rev();
    let hops = reported.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    let mut nearest = direct;
    for hop in hops {
        let Ok(address) = hop.trim().parse::<IpAddr>() else { return nearest };
        nearest = address.to_canonical();
        if !trusted(nearest) {
            return nearest;
        }
    }
    nearest
}

/// One handler for each endpoint.
async fn dispatch(call: &Call<'_>, endpoint: &Endpoint) -> Result<Response, Failure> {
    match endpoint {
        Endpoint::Verify => circlet::verify(call).await,
        Endpoint::Tokens | Endpoint::Token(_) | Endpoint::TokenRevoke | Endpoint::DefaultExpiry => {
            access::serve(call, endpoint).await
        }
        Endpoint::LegacyTokens | Endpoint::LegacyRevoke => legacy::serve(call, endpoint).await,
        Endpoint::LegacyUsers
        | Endpoint::LegacyUser(_)
        | Endpoint::LegacyGroups
        | Endpoint::LegacyGroup(_) => users_legacy::serve(call, endpoint).await,
        Endpoint::Users | Endpoint::User(_) | Endpoint::Groups | Endpoint::Group(_) => {
            users_v2::serve(call, endpoint).await
        }
        Endpoint::Trust
        | Endpoint::TrustedIssuer(_)
        | Endpoint::Config
        | Endpoint::Setting(_)
        | Endpoint::Cluster(_) => circlet::serve(call, endpoint).await,
        Endpoint::Ping
        | Endpoint::AccessPing
        | Endpoint::Version
        | Endpoint::ServiceId
        | Endpoint::Usage
        | Endpoint::RootCertificate
        | Endpoint::ClusterCertificate
        | Endpoint::RouterHealth
        | Endpoint::Healthz
        | Endpoint::Readyz => system::serve(call, endpoint).await,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_trusted_proxies_speak_for_their_clients() {
        let proxies: Vec<Network> = ["10.0.0.0/8", "::1"].iter().map(|text| text.parse().unwrap()).collect();
        for (peer, reported, expected) in [
            ("192.0.2.1:99", "198.51.100.7", "192.0.2.1"),
            ("10.0.0.1:99", "198.51.100.7", "198.51.100.7"),
            ("[::ffff:10.0.0.1]:99", "198.51.100.7", "198.51.100.7"),
            ("10.0.0.1:99", "203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
            ("10.0.0.1:99", "203.0.113.9, nonsense, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1:99", "", "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", HeaderValue::from_static(reported));
            let found = client_address(&proxies, &headers, peer.parse().unwrap());
            assert_eq!(found.to_string(), expected, "{peer} {reported}");
        }
    }
}
