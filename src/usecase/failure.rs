//! Why a request was not served, before any API gives it a shape.

use std::borrow::Cow;

/// Defines the kinds and the list of all of them at once, so that neither can miss one.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident,)*) => {
        /// The kind of a failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code { $($(#[$doc])* $code,)* }

        impl Code {
            /// Every kind there is.
            pub(crate) const ALL: &[Self] = &[$(Self::$code),*];
        }
    };
}

codes! {
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

/// What the message says; for rejected tokens each generation has its own sentence, which clients match.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// This text.
    Text(Cow<'static, str>),
    /// The token is not accepted, for this word's reason.
    Token(Cow<'static, str>),
}

/// Why a request was not served.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// A stable word for programs, for example `expired`, `stale`, `not_revocable`.
    pub(crate) reason: Cow<'static, str>,
    pub(crate) message: Message,
    pub(crate) detail: Option<String>,
    pub(crate) retry_after_secs: Option<u32>,
    /// Decided before the handler ran: the legacy token endpoints say these in the generic shape.
    pub(crate) before_handler: bool,
    /// The credential came in a header whose bad values are answered with 403 (contract section 1.2, 4).
    pub(crate) forbid_instead: bool,
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

    /// What does not exist was named in the body, not in the path: then the request is at fault.
    pub(crate) fn of_input(mut self) -> Self {
        if self.code == Code::NotFound {
            self.code = Code::BadRequest;
        }
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

    /// The stable word if it is one of ours, of which there are few.
    pub(crate) fn word(&self) -> &'static str {
        match self.reason {
            Cow::Borrowed(word) => word,
            Cow::Owned(_) => "other",
        }
    }

    /// Whether it says that a token is not accepted.
    pub(crate) fn is_about_a_token(&self) -> bool {
        matches!(self.message, Message::Token(_))
    }
}
