//! What can go wrong with a request, and how each API generation says it.
//!
//! One table ([`Code::row`]) maps a failure to code, status and whether trying again helps; no handler writes a
//! status by hand. The shapes are those of contract section 1.3: legacy clients, Access clients and proxies each
//! read their own.

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Map, Value, json};

use super::answer::{self, Response};
use super::body::BadBody;
use super::request_id::RequestId;

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

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The request can't be understood, or asks for what can't be.
    BadRequest,
    /// The scope can't be parsed.
    InvalidScope,
    /// A grant type that is not served.
    UnsupportedGrantType,
    /// No credential, or one that doesn't count.
    Unauthorized,
    /// A refresh that lacks its credential.
    InvalidGrant,
    /// A refresh token that is unknown, used or revoked.
    RefreshUnknown,
    /// The caller asks for more than it may have.
    TooMuchAsked,
    /// The caller may not do this at all.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The path exists, with other methods.
    MethodNotAllowed,
    /// The body or the headers did not arrive in time.
    Timeout,
    /// It is there already, or was changed meanwhile.
    Conflict,
    /// The body is larger than the limit.
    TooLarge,
    /// A content type that the endpoint doesn't read.
    UnsupportedMediaType,
    /// Slow down.
    TooManyRequests,
    /// Our fault.
    Internal,
    /// Not now: no leader, no proof of freshness, or a write whose fate is unknown.
    Unavailable,
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

/// What the message says; for rejected tokens each generation has its own sentence, which clients match.
#[derive(Debug, Clone)]
enum Message {
    Text(Cow<'static, str>),
    /// The token is not accepted, for this word's reason.
    Token(Cow<'static, str>),
}

/// Why a request was not served.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    code: Code,
    /// A stable word for programs, for example `expired`, `stale`, `not_revocable`.
    reason: Cow<'static, str>,
    message: Message,
    detail: Option<String>,
    retry_after_secs: Option<u32>,
    /// For 405: what the path does accept.
    allow: Option<&'static str>,
    /// Decided before the handler ran: the legacy token endpoints say these in the generic shape.
    before_handler: bool,
    /// The credential came in a header whose bad values are answered with 403 (contract section 1.2, 4).
    forbid_instead: bool,
}

impl Failure {
    /// A failure of this kind; `reason` is a stable word, `message` one line for people.
    pub(crate) fn new(
        code: Code,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: Message::Text(message.into()),
            detail: None,
            retry_after_secs: None,
            allow: None,
            before_handler: false,
            forbid_instead: false,
        }
    }

    /// The presented token isn't accepted: `reason` is the stable word, `word` what clients match after
    /// `Invalid token, ` and `Token failed verification: `.
    pub(crate) fn token(reason: impl Into<Cow<'static, str>>, word: impl Into<Cow<'static, str>>) -> Self {
        let mut failure = Self::new(Code::Unauthorized, reason, "");
        failure.message = Message::Token(word.into());
        failure.before_handler = true;
        failure
    }

    /// No usable credential was presented.
    pub(crate) fn unauthorized(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Code::Unauthorized, reason, "Unauthorized").with_detail(detail).before_handler()
    }

    /// Not served now; trying again after `retry_after_secs` may help.
    pub(crate) fn unavailable(
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut failure = Self::new(Code::Unavailable, reason, message);
        failure.retry_after_secs = Some(1);
        failure
    }

    /// 400 with this message.
    pub(crate) fn bad_request(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadRequest, reason, message)
    }

    /// 404 with this message.
    pub(crate) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotFound, "not_found", message)
    }

    /// 405: the path exists, but only for the methods in `allow`.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let mut failure =
            Self::new(Code::MethodNotAllowed, "method_not_allowed", "HTTP 405 Method Not Allowed");
        failure.allow = Some(allow);
        failure
    }

    /// Adds what helps to understand or to act.
    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into()).filter(|text| !text.is_empty());
        self
    }

    /// Asks the client to wait this long.
    pub(crate) fn retry_after(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// Marks a failure of authentication, which comes before any endpoint's own errors.
    pub(crate) fn before_handler(mut self) -> Self {
        self.before_handler = true;
        self
    }

    /// Turns 401 into 403, for credentials in `X-JFrog-Art-Api`.
    pub(crate) fn forbid_instead(mut self) -> Self {
        self.forbid_instead = true;
        self
    }

    /// The same failure, of another kind.
    pub(crate) fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The kind.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// The stable word.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

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
            Some(detail) if !matches!(self.message, Message::Token(_)) && message != "Unauthorized" => {
                format!("{message} ({detail})")
            }
            Some(detail)
                if !matches!(self.reason(), "expired" | "signature" | "parse")
                    && message != "Unauthorized" =>
            {
                format!("{message} ({detail})")
            }
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
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
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
    use http_body_util::BodyExt;
    use hyper::header::HeaderMap;

    use super::*;

    async fn rendered(failure: &Failure, shape: Shape) -> (u16, String, Option<String>) {
        let response = failure.answer(shape, &RequestId::of(&HeaderMap::new()));
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
