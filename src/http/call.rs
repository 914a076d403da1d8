//! One request, read: what every handler starts from.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use circlet_authority::State;
use circlet_raft::Published;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde_json::json;

use super::answer::X_CIRCLET_INDEX;
use super::body::{Parameters, Reads};
use super::edge::Edge;
use super::errors::Shape;
use super::request_id::RequestId;
use crate::audit::{Change, Entity, Line};
use crate::authenticate::credential::Credential;
use crate::authenticate::tokens::Rules;
use crate::authenticate::{Caller, authenticate};
use crate::usecase::failure::{Code, Failure};
use crate::usecase::issue::IDEMPOTENCY_KEY_BYTES_MAX;
use crate::usecase::{Session, reading};

/// How long a request waits for the index that it asks for.
const INDEX_TIMEOUT: Duration = Duration::from_secs(5);

/// So much of a name that could not log in goes into the audit log: no user's is longer.
const LOGIN_CHARS_MAX: usize = 255;

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
            Ok(Credential::Basic { name, .. }) => name.chars().take(LOGIN_CHARS_MAX).collect(),
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
    pub(crate) async fn wait_for_view(&self) -> Result<(), Failure> {
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
            reading::fresh(&self.edge.cluster).await?;
        }
        Ok(())
    }
}
