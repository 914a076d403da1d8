//! What a request presents.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};

use crate::secret::Secret;
use crate::usecase::failure::Failure;

/// Headers that carry a token alone, and are answered with 403 when it is bad (contract section 1.2, 4).
const API_KEY_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("x-jfrog-art-api"), HeaderName::from_static("x-api-key")];

/// A credential, not yet believed.
pub(crate) enum Credential<'a> {
    /// There is none.
    None,
    /// `Authorization: Bearer`.
    Bearer(&'a str),
    /// `Authorization: Basic`.
    Basic {
        /// Before the first colon.
        name: String,
        /// After it: a password or a token.
        secret: Secret,
    },
    /// `X-JFrog-Art-Api`, or its older name.
    ApiKey(&'a str),
}

impl<'a> Credential<'a> {
    /// Reads the headers; `Authorization` goes before the others. Something unreadable is an error, never nothing.
    pub(crate) fn read(headers: &'a HeaderMap) -> Result<Self, Failure> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next();
        if values.next().is_some() {
            return Err(malformed("there is more than one Authorization header"));
        }
        if let Some(value) = value {
            let text = value.to_str().map_err(|_| malformed("the Authorization header is not ASCII text"))?;
            return Self::authorization(text);
        }
        for name in API_KEY_HEADERS {
            if let Some(value) = headers.get(name) {
                let text =
                    value.to_str().map_err(|_| malformed("the key is not ASCII text").forbid_instead())?;
                return Ok(Self::ApiKey(text.trim()));
            }
        }
        Ok(Self::None)
    }

    fn authorization(text: &'a str) -> Result<Self, Failure> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Self::Bearer(rest));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(malformed("the Authorization scheme must be Bearer or Basic"));
        }
        let not_basic = || malformed("Basic needs the base64 of name:password");
        let decoded = STANDARD.decode(rest).map_err(|_| not_basic())?;
        let decoded = Secret::new(decoded);
        let (name, secret) =
            decoded.expose_text().and_then(|text| text.split_once(':')).ok_or_else(not_basic)?;
        Ok(Self::Basic { name: name.to_owned(), secret: Secret::from(secret.to_owned()) })
    }
}

fn malformed(why: &'static str) -> Failure {
    Failure::unauthorized("malformed_credential", why)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn read(name: &'static str, value: &str) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        match Credential::read(&headers) {
            Ok(Credential::None) => Ok("none".to_owned()),
            Ok(Credential::Bearer(token)) => Ok(format!("bearer {token}")),
            Ok(Credential::ApiKey(token)) => Ok(format!("key {token}")),
            Ok(Credential::Basic { name, secret }) => {
                Ok(format!("basic {name} {}", secret.expose_text().unwrap()))
            }
            Err(failure) => Err(failure.reason().to_owned()),
        }
    }

    #[test]
    fn each_form_is_read_in_any_case() {
        assert_eq!(read("authorization", "bearer abc").unwrap(), "bearer abc");
        assert_eq!(read("authorization", "BASIC YWxpY2U6cDp3").unwrap(), "basic alice p:w");
        assert_eq!(read("x-jfrog-art-api", " key ").unwrap(), "key key");
        assert_eq!(read("x-api-key", "key").unwrap(), "key key");
        assert_eq!(read("cookie", "a=b").unwrap(), "none");
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_not_taken_for_nobody() {
        for value in ["Digest x", "Basic !!", "Basic YWxpY2U=", "Basic", ""] {
            assert_eq!(read("authorization", value).unwrap_err(), "malformed_credential", "{value}");
        }
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert!(Credential::read(&headers).is_err());
    }
}
