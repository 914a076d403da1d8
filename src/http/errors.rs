//! How each API generation says what went wrong.
//!
//! One table ([`Code::row`]) maps a failure to code, status and whether trying again helps; no handler writes a
//! status by hand. The shapes are those of contract section 1.3: legacy clients, Access clients and proxies each
//! read their own.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::answer;
use super::body::BadBody;
use super::request_id::RequestId;
use crate::usecase::failure::{Code, Failure, Message};

/// How an endpoint's clients read errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `{"error","error_description"}`: the legacy token endpoints (RFC 6749 section 5.2).
    OAuth,
    /// `{"errors":[{"status","message"}]}`: everything else below `/artifactory/api`.
    Artifactory,
    /// `{"errors":[{"code","message","detail"}]}`: the Access API.
    Access,
    /// As Access, and the reason as a stable word: the endpoints of our own.
    Circlet,
}

/// One line of the table.
struct Row {
    /// The status outside the legacy token endpoints.
    status: StatusCode,
    /// The Access API's code.
    code: &'static str,
    /// The legacy token endpoints' code (RFC 6749) and status.
    oauth: (&'static str, StatusCode),
    /// Whether the same request may succeed later.
    retryable: bool,
}

impl Code {
    fn row(self) -> Row {
        use StatusCode as S;
        let row = |status, code, error, oauth_status, retryable| Row {
            status,
            code,
            oauth: (error, oauth_status),
            retryable,
        };
        #[rustfmt::skip]
        let row = match self {
            Self::BadRequest           => row(S::BAD_REQUEST,            "BAD_REQUEST",            "invalid_request",        S::BAD_REQUEST,            false),
            Self::InvalidScope         => row(S::BAD_REQUEST,            "BAD_REQUEST",            "invalid_scope",          S::BAD_REQUEST,            false),
            Self::UnsupportedGrantType => row(S::BAD_REQUEST,            "BAD_REQUEST",            "unsupported_grant_type", S::BAD_REQUEST,            false),
            Self::Unauthorized         => row(S::UNAUTHORIZED,           "UNAUTHORIZED",           "invalid_client",         S::UNAUTHORIZED,           false),
            Self::InvalidGrant         => row(S::UNAUTHORIZED,           "UNAUTHORIZED",           "invalid_grant",          S::UNAUTHORIZED,           false),
            Self::RefreshUnknown       => row(S::NOT_FOUND,              "NOT_FOUND",              "invalid_grant",          S::UNAUTHORIZED,           false),
            Self::TooMuchAsked         => row(S::FORBIDDEN,              "FORBIDDEN",              "invalid_request",        S::BAD_REQUEST,            false),
            Self::Forbidden            => row(S::FORBIDDEN,              "FORBIDDEN",              "unauthorized_client",    S::FORBIDDEN,              false),
            Self::NotFound             => row(S::NOT_FOUND,              "NOT_FOUND",              "invalid_request",        S::NOT_FOUND,              false),
            Self::MethodNotAllowed     => row(S::METHOD_NOT_ALLOWED,     "METHOD_NOT_ALLOWED",     "invalid_request",        S::METHOD_NOT_ALLOWED,     false),
            Self::Timeout              => row(S::REQUEST_TIMEOUT,        "REQUEST_TIMEOUT",        "invalid_request",        S::REQUEST_TIMEOUT,        true),
            Self::Conflict             => row(S::CONFLICT,               "CONFLICT",               "invalid_request",        S::CONFLICT,               false),
            Self::TooLarge             => row(S::PAYLOAD_TOO_LARGE,      "PAYLOAD_TOO_LARGE",      "invalid_request",        S::PAYLOAD_TOO_LARGE,      false),
            Self::UnsupportedMediaType => row(S::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", "invalid_request",        S::UNSUPPORTED_MEDIA_TYPE, false),
            Self::TooManyRequests      => row(S::TOO_MANY_REQUESTS,      "TOO_MANY_REQUESTS",      "temporarily_unavailable", S::TOO_MANY_REQUESTS,     true),
            Self::Internal             => row(S::INTERNAL_SERVER_ERROR,  "INTERNAL_SERVER_ERROR",  "server_error",           S::INTERNAL_SERVER_ERROR,  false),
            Self::Unavailable          => row(S::SERVICE_UNAVAILABLE,    "SERVICE_UNAVAILABLE",    "temporarily_unavailable", S::SERVICE_UNAVAILABLE,   true),
        };
        row
    }
}

impl Code {
    /// The status that this kind has in a shape. Authentication comes before the legacy token endpoints' own errors, in
    /// another shape, and with the same status in both.
    pub(crate) fn status_in(self, shape: Shape) -> StatusCode {
        let row = self.row();
        if shape == Shape::OAuth { row.oauth.1 } else { row.status }
    }

    /// The code on the Access API, and that of the legacy token endpoints.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        let row = self.row();
        (row.code, row.oauth.0)
    }
}

/// Reasons whose message clients compare as a whole (contract section 1.3).
const EXACT: [&str; 6] =
    ["expired", "signature", "parse", "not_revocable", "no_credential", "bad_credentials"];

impl Failure {
    /// The status in this shape.
    pub(crate) fn status(&self, shape: Shape) -> StatusCode {
        let row = self.code.row();
        match self.effective(shape) {
            _ if self.forbid_instead && row.status == StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
            Shape::OAuth => row.oauth.1,
            Shape::Artifactory | Shape::Access | Shape::Circlet => row.status,
        }
    }

    fn effective(&self, shape: Shape) -> Shape {
        if shape == Shape::OAuth && self.before_handler { Shape::Artifactory } else { shape }
    }

    fn message(&self, shape: Shape) -> Cow<'_, str> {
        match (&self.message, shape) {
            (Message::Text(text), _) => Cow::Borrowed(text),
            (Message::Token(word), Shape::Access | Shape::Circlet) => format!("Invalid token, {word}").into(),
            (Message::Token(word), Shape::OAuth | Shape::Artifactory) => {
                format!("Token failed verification: {word}").into()
            }
        }
    }

    /// The message with its detail, for the shapes that have no field for a detail. The texts that clients compare
    /// as a whole stay as they are.
    fn sentence(&self, shape: Shape) -> String {
        let message = self.message(shape);
        match &self.detail {
            Some(detail) if !EXACT.contains(&self.reason()) => format!("{message} ({detail})"),
            _ => message.into_owned(),
        }
    }

    /// The answer that says so, in the shape that the endpoint's clients read.
    pub(crate) fn answer(&self, shape: Shape, request_id: &RequestId) -> Response {
        let row = self.code.row();
        let status = self.status(shape);
        let shape = self.effective(shape);
        let forbidden = self.forbid_instead && status == StatusCode::FORBIDDEN;
        let code = if forbidden { "FORBIDDEN" } else { row.code };
        let body = match shape {
            Shape::OAuth => json!({"error": row.oauth.0, "error_description": self.sentence(shape)}),
            Shape::Artifactory => {
                json!({"errors": [{"status": status.as_u16(), "message": self.sentence(shape)}]})
            }
            Shape::Access | Shape::Circlet => self.access_body(shape, code, &row, request_id),
        };
        let mut response = answer::json_value(status, &body);
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = match shape {
                Shape::OAuth | Shape::Artifactory => "Basic realm=\"Artifactory Realm\"",
                Shape::Access | Shape::Circlet => "Bearer realm=\"circlet\"",
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(secs) = self.retry_after_secs.or(row.retryable.then_some(1)) {
            headers.insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }

    fn access_body(&self, shape: Shape, code: &str, row: &Row, request_id: &RequestId) -> Value {
        let message = self.message(shape);
        let mut error = Map::new();
        error.insert("code".to_owned(), code.into());
        error.insert("message".to_owned(), message.as_ref().into());
        if let Some(detail) = &self.detail {
            error.insert("detail".to_owned(), detail.as_str().into());
        }
        if shape == Shape::Circlet {
            error.insert("reason".to_owned(), self.reason().into());
            error.insert("retryable".to_owned(), row.retryable.into());
        }
        // pyartifactory reads `error_description`, terraform's delete a top-level `message`; every other client
        // ignores them (contract section 1.3).
        json!({
            "errors": [error],
            "error": row.oauth.0,
            "error_description": message,
            "message": message,
            "request_id": request_id.as_str(),
        })
    }
}

/// Carries the failure to `edge::answer`, which knows the shape to say it in and the request's id.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = answer::empty(self.status(Shape::Circlet));
        response.extensions_mut().insert(self);
        response
    }
}

impl From<BadBody> for Failure {
    fn from(bad: BadBody) -> Self {
        let (code, reason) = match &bad {
            BadBody::ContentType { .. } => (Code::UnsupportedMediaType, "content_type"),
            BadBody::Syntax { .. } => (Code::BadRequest, "malformed_body"),
            BadBody::Duplicate(_) | BadBody::TooMany => (Code::BadRequest, "duplicate_parameter"),
            BadBody::Kind { .. } => (Code::BadRequest, "bad_parameter"),
            BadBody::Unknown { .. } => (Code::BadRequest, "unknown_parameter"),
        };
        Self::new(code, reason, bad.to_string())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::HeaderMap;
    use http_body_util::BodyExt;

    use super::*;
    use crate::trace;

    async fn rendered(failure: &Failure, shape: Shape) -> (u16, String, Option<String>) {
        let headers = HeaderMap::new();
        let (trace, origin) = trace::of_request(&headers, &trace::Tracer::default());
        let response = failure.answer(shape, &RequestId::of(&headers, trace, origin));
        let status = response.status().as_u16();
        let challenge =
            response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let mut body: Value = serde_json::from_slice(&bytes).unwrap();
        if let Some(object) = body.as_object_mut() {
            object.remove("request_id");
        }
        (status, body.to_string(), challenge)
    }

    /// The transcript of every kind in every shape lies with those of the endpoints.
    #[tokio::test]
    async fn every_code_has_its_answer_in_every_shape() {
        use std::fmt::Write as _;
        let mut text = String::new();
        for code in Code::ALL {
            let failure = Failure::new(*code, "a_word", "a sentence").with_detail("more of it");
            for shape in [Shape::OAuth, Shape::Artifactory, Shape::Access, Shape::Circlet] {
                let (status, body, challenge) = rendered(&failure, shape).await;
                let challenge = challenge.map(|text| format!(" [{text}]")).unwrap_or_default();
                writeln!(text, "{code:?} {shape:?} {status}{challenge} {body}").unwrap();
            }
        }
        insta::with_settings!({snapshot_path => "../../tests/http/snapshots", prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!("error_codes", text);
        });
    }

    #[tokio::test]
    async fn an_expired_token_is_said_in_the_words_that_each_generation_matches() {
        let failure = Failure::token("expired", "expired").with_detail("expired 3 s ago");
        let realm = Some("Basic realm=\"Artifactory Realm\"".to_owned());
        let generic =
            r#"{"errors":[{"message":"Token failed verification: expired","status":401}]}"#.to_owned();
        assert_eq!(rendered(&failure, Shape::Artifactory).await, (401, generic.clone(), realm.clone()));
        assert_eq!(rendered(&failure, Shape::OAuth).await, (401, generic, realm));
        let (status, body, _) = rendered(&failure, Shape::Access).await;
        assert_eq!(status, 401);
        assert!(
            body.contains(
                r#""code":"UNAUTHORIZED","detail":"expired 3 s ago","message":"Invalid token, expired""#
            ),
            "{body}"
        );
        assert!(body.contains(r#""error_description":"Invalid token, expired""#), "{body}");
    }

    #[tokio::test]
    async fn a_bad_credential_in_the_api_key_header_is_forbidden() {
        let failure = Failure::unauthorized("unknown", "no such token").forbid_instead();
        let (status, body, challenge) = rendered(&failure, Shape::Access).await;
        assert_eq!((status, challenge), (403, None));
        assert!(body.contains("FORBIDDEN"), "{body}");
    }

    #[tokio::test]
    async fn a_used_refresh_token_is_404_on_the_access_api_and_invalid_grant_on_the_legacy_one() {
        let failure = Failure::new(Code::RefreshUnknown, "refresh_unknown", "no");
        assert_eq!(rendered(&failure, Shape::Access).await.0, 404);
        let (status, body, _) = rendered(&failure, Shape::OAuth).await;
        assert_eq!((status, body.as_str()), (401, r#"{"error":"invalid_grant","error_description":"no"}"#));
    }
}
