//! What all requests have in common: the state to answer from, the id, the shape of what went wrong.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{ALLOW, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use hyper::body::Incoming;

use super::admission::{Admission, Client};
use super::attempt::Attempt;
use super::call::Asked;
use super::path;
use super::places::Places;
use super::request_id::{RequestId, X_REQUEST_ID};
use super::router;
use crate::audit::Audit;
use crate::authenticate::Authenticator;
use crate::authenticate::usage::Usage;
use crate::cluster::Cluster;
use crate::headroom::Headroom;
use crate::health::Health;
use crate::home::settings::ConnectionsMax;
use crate::home::{Network, Paths};
use crate::metrics::{Counts, Metrics, Sources, Work};
use crate::password::Passwords;
use crate::trace::{self, Kind};
use crate::usecase::failure::{Code, Failure};
use crate::watched::Watched;

/// What an operator sets per node for the edge.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What `system/version` says: clients choose by it which endpoints they use (contract section 1.7).
    pub advertised_version: String,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How many clients may be connected.
    pub connections: ConnectionsMax,
    /// How far the node's clock may be off, in milliseconds.
    pub clock_offset_ms_max: u64,
    /// The home, of which some files are shown on the page of metrics.
    pub paths: Paths,
}

/// Everything that answering takes; shared by all connections.
pub struct Edge {
    pub(crate) cluster: Cluster,
    pub(crate) passwords: Passwords,
    pub(crate) audit: Audit,
    pub(crate) settings: Settings,
    pub(crate) authenticator: Authenticator,
    pub(crate) watched: Arc<Watched>,
    pub(crate) health: Health,
    pub(crate) counts: Counts,
    admission: Admission,
    pub(crate) metrics: Metrics,
}

impl Edge {
    /// An edge on this cluster.
    pub(crate) fn new(
        cluster: Cluster,
        passwords: Passwords,
        audit: Audit,
        usage: Usage,
        headroom: Headroom,
        settings: Settings,
    ) -> Self {
        let watched = Arc::<Watched>::default();
        let counts = Counts::default();
        let authenticator = Authenticator::new(
            cluster.clone(),
            passwords.clone(),
            Arc::clone(&watched),
            usage,
            counts.clone(),
        );
        let health = Health::new(cluster.clone(), headroom, settings.clock_offset_ms_max);
        let sources = Sources {
            cluster: cluster.clone(),
            health: health.clone(),
            passwords: passwords.clone(),
            audit: audit.clone(),
            paths: settings.paths.clone(),
        };
        let metrics = Metrics::new(&counts, sources);
        let admission = Admission::default();
        Self {
            cluster,
            passwords,
            audit,
            settings,
            authenticator,
            watched,
            health,
            counts,
            admission,
            metrics,
        }
    }

    /// Places for its clients. Trusted proxies bring those of many.
    pub(super) fn places(&self) -> Places {
        Places::new(self.settings.connections, self.settings.trusted_proxies.clone())
    }

    /// Where the client is, as far as trusted proxies say.
    fn client_address(&self, headers: &HeaderMap, peer: SocketAddr) -> IpAddr {
        client_address(&self.settings.trusted_proxies, headers, peer)
    }
}

/// Lies around all routes. Whatever happens, the answer is JSON in the shape of the path's API, and has an id.
pub(super) async fn answer(
    edge: &Arc<Edge>,
    routes: Router,
    mut request: Request<Incoming>,
    client: &Client,
) -> Response {
    let begun = Instant::now();
    let under_way = edge.counts.begin();
    path::fold_slashes(request.uri_mut());
    let tracer = edge.cluster.tracer();
    let (trace, origin) = trace::of_request(request.headers(), tracer);
    let mut span = tracer.begin(trace, origin.parent(), Kind::Server, "request");
    let request_id = RequestId::of(request.headers(), trace, origin);
    let shape = path::shape(request.uri().path());
    let address = edge.client_address(request.headers(), client.peer);
    let method = request.method().clone();
    let attempt = Attempt::default();
    let (seat, noted) = (Arc::clone(&client.seat), attempt.clone());
    let asked = Asked { request_id: request_id.clone(), shape, address, attempt: noted, seat };
    let readable = path::readable(request.uri().path());
    let admitted = readable.and_then(|()| {
        let work = Work::of(method.as_str(), request.uri().path());
        edge.admission.admit(work, client).inspect_err(|_| edge.counts.shed("busy"))
    });
    let mut response = match admitted {
        Err(failure) => failure.into_response(),
        Ok(_pass) => {
            // Pinned here: it is large, and would be moved into each of those around it.
            let handled = pin!(router::handle(edge, routes, request, asked));
            trace::within(trace, caught(&request_id, handled)).await
        }
    };
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        edge.counts.rejected(failure.word());
        attempt.failed(edge, (&method, &request_id, trace, address), &failure, failure.status(shape));
        let allow = response.headers_mut().remove(ALLOW);
        response = failure.answer(shape, &request_id);
        response.headers_mut().extend(allow.map(|methods| (ALLOW, spaced(&methods))));
    }
    response.headers_mut().insert(X_REQUEST_ID, request_id.header());
    let work = Work::of(method.as_str(), attempt.route());
    edge.counts.answered(work, response.status().as_u16(), begun.elapsed());
    span.rename(|| format!("{method} {}", attempt.route()));
    span.note("http.request.method", &method);
    span.note("http.route", attempt.route());
    span.note("http.response.status_code", &response.status().as_u16());
    span.note("circlet.request_id", &request_id);
    if response.status().is_server_error() {
        span.fail();
    }
    drop(under_way);
    response
}

/// What the handler answers; if it panics, that it did.
async fn caught(request_id: &RequestId, handler: impl Future<Output = Response>) -> Response {
    match AssertUnwindSafe(handler).catch_unwind().await {
        Ok(response) => response,
        Err(_panic) => panicked(request_id).into_response(),
    }
}

fn panicked(request_id: &RequestId) -> Failure {
    tracing::error!(%request_id, "a request handler panicked");
    Failure::new(Code::Internal, "internal", "Internal error")
        .with_detail(format!("the log of the node says more about request {request_id}"))
}

/// `GET,HEAD` as `GET, HEAD`, for clients that split the list at that.
fn spaced(methods: &HeaderValue) -> HeaderValue {
    let methods = methods.to_str().unwrap_or_default().replace(',', ", ");
    HeaderValue::try_from(methods).expect("a space may be in a header value")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::errors::Shape;

    #[tokio::test]
    async fn a_handler_that_panics_is_an_internal_error_with_the_requests_id() {
        let headers = HeaderMap::new();
        let (trace, origin) = trace::of_request(&headers, &trace::Tracer::default());
        let id = RequestId::of(&headers, trace, origin);
        let mut response = caught(&id, async { panic!("a defect") }).await;
        let failure = response.extensions_mut().remove::<Failure>().unwrap();
        assert_eq!((failure.code(), failure.status(Shape::OAuth).as_u16()), (Code::Internal, 500));
        assert!(failure.detail.unwrap().contains(id.as_str()));
    }

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
