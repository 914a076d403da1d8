//! One request, read: what every handler starts from.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use circlet_authority::State;
use circlet_raft::Published;
use serde_json::json;

use super::answer::X_CIRCLET_INDEX;
use super::attempt::Attempt;
use super::body::{Parameters, Reads};
use super::edge::Edge;
use super::errors::Shape;
use super::places::{Answering, Seat};
use super::receive::receive;
use super::request_id::RequestId;
use crate::audit::{Change, Entity};
use crate::authenticate::Caller;
use crate::authenticate::tokens::Rules;
use crate::metrics::Work;
use crate::password::Waits;
use crate::usecase::failure::{Code, Failure};
use crate::usecase::issue::IDEMPOTENCY_KEY_BYTES_MAX;
use crate::usecase::{Session, reading};

/// How long a request waits for the index that it asks for.
const INDEX_TIMEOUT: Duration = Duration::from_secs(5);

/// One request, read.
pub(crate) struct Call {
    pub(crate) edge: Arc<Edge>,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Where the client is, as far as trusted proxies say.
    pub(crate) address: IpAddr,
    request_id: RequestId,
    shape: Shape,
    attempt: Attempt,
    /// It takes tokens away: its password waits for its turn.
    revokes: bool,
    seat: Arc<Seat>,
    /// Until the handler has answered, but for the time that its password waits.
    answering: Mutex<Option<Answering>>,
}

/// What the edge notes on every request before it is routed.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) request_id: RequestId,
    /// How this endpoint's clients read errors, and so which API it belongs to.
    pub(crate) shape: Shape,
    /// Where the client is, as far as trusted proxies say.
    pub(crate) address: IpAddr,
    /// Takes what becomes known of the request.
    pub(crate) attempt: Attempt,
    /// What the client's connection sits on.
    pub(super) seat: Arc<Seat>,
}

impl FromRequest<Arc<Edge>> for Call {
    type Rejection = Failure;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, Failure> {
        let (mut head, body) = request.into_parts();
        let asked = head.extensions.remove::<Asked>().expect("the edge notes it on every request");
        asked.attempt.took(head.extensions.remove());
        let body = Some(body).filter(|_| !matches!(head.method, Method::GET | Method::HEAD));
        Self::read(edge, head, body, asked).await
    }
}

impl Call {
    /// Reads the whole request, and waits until there is a view as new as it asks for.
    pub(super) async fn read(
        edge: &Arc<Edge>,
        head: Parts,
        body: Option<Body>,
        asked: Asked,
    ) -> Result<Self, Failure> {
        let body = match body {
            Some(body) => receive(&head.headers, body).await?,
            None => Bytes::new(),
        };
        let Asked { request_id, shape, address, attempt, seat } = asked;
        let answering = Mutex::new(Some(seat.answer()?));
        let edge = Arc::clone(edge);
        let revokes = Work::of(head.method.as_str(), head.uri.path()) == Work::Revoke;
        let (uri, headers) = (head.uri, head.headers);
        let call =
            Self { edge, uri, headers, body, address, request_id, shape, attempt, revokes, seat, answering };
        call.wait_for_view().await?;
        Ok(call)
    }

    /// The view to read from.
    pub(crate) fn published(&self) -> Arc<Published<State>> {
        self.edge.cluster.published()
    }

    /// Who asks, judged by these rules.
    pub(crate) async fn caller(&self, rules: Rules<'_>) -> Result<Caller, Failure> {
        let found = self.judged_by(rules).await.and_then(|caller| self.password_allowed(caller));
        match &found {
            Ok(caller) => {
                self.attempt.known(caller);
                self.record_login(caller);
            }
            Err(_) => self.attempt.refused(&self.headers),
        }
        found
    }

    /// Who asks, judged by these rules; a refusal is not noted.
    pub(crate) async fn judged_by(&self, rules: Rules<'_>) -> Result<Caller, Failure> {
        let waits = self.revokes.then_some(self as &dyn Waits);
        self.edge.authenticator.authenticate(&self.headers, (self.address, waits), rules).await
    }

    /// A password that was right is a login. The line may wait in memory, as nothing has changed.
    fn record_login(&self, caller: &Caller) {
        if matches!(caller, Caller::User(_)) {
            let data = json!({"added": {"by": "password"}});
            let session = self.session_of(caller.clone());
            session.write_line(Change::Created, Entity::Login, caller.name(), data);
        }
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

    /// The session of whoever asks, who has to be somebody.
    pub(crate) async fn known_session(&self) -> Result<Session<'_>, Failure> {
        let session = self.session().await?;
        session.actor()?;
        Ok(session)
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
            headroom: self.edge.health.headroom(),
            counts: &self.edge.counts,
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
        Ok(Parameters::read_query(self.uri.query())?)
    }

    /// A request may name the least index that the answering view must hold, or ask for a fresh view.
    async fn wait_for_view(&self) -> Result<(), Failure> {
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
        if self.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "consistency=strong")) {
            reading::fresh(&self.edge.cluster).await?;
        }
        Ok(())
    }
}

/// Somebody else may have its place while it waits.
impl Waits for Call {
    fn step_aside(&self) {
        self.answering.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn step_back(&self) -> bool {
        let answering = self.seat.answer().ok();
        let is_there = answering.is_some();
        *self.answering.lock().unwrap_or_else(PoisonError::into_inner) = answering;
        is_there
    }
}
