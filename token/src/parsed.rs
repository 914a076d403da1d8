//! A token taken apart, before anyone has vouched for it.
use crate::audience::Audience;
use crate::base64url;
use crate::claims::Claims;
use crate::json::Object;
use crate::limits::TOKEN_BYTES_MAX;
use crate::malformed::quoted;
use crate::reject::{ParseReason, Reject};
use crate::scope::Scope;
use crate::service_id::ServiceId;
use crate::subject::Subject;
use crate::token_id::TokenId;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt;

/// A token's parts. **Nothing in it is proven**: only [`verify`](crate::verify), or its steps, says whom to believe.
#[derive(Clone)]
pub struct Parsed<'a> {
    token: &'a str,
    signing_input: &'a str,
    kid: Option<String>,
    algorithm: String,
    claims: Claims,
    signature: Vec<u8>,
}

impl<'a> Parsed<'a> {
    /// Takes a compact JWS apart (RFC 7515 section 3.1). The only error is [`Reject::Parse`].
    pub fn parse(token: &'a str) -> Result<Self, Reject> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(ParseReason::Oversize { bytes: token.len() }.into());
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(ParseReason::Shape)?;
        let (header, payload) = signing_input.split_once('.').ok_or(ParseReason::Shape)?;
        if payload.contains('.') {
            return Err(ParseReason::Shape.into());
        }
        let header = Header::parse(&object("header", header)?)?;
        let claims = claims(&object("payload", payload)?)?;
        let signature = base64url::decode(signature).ok_or(ParseReason::Base64 { part: "signature" })?;
        Ok(Self { token, signing_input, kid: header.kid, algorithm: header.algorithm, claims, signature })
    }

    /// The header's `kid`, if there is one.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The header's `alg`: a claim like any other, never the choice of how to verify.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The claims.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The claims, taken out.
    #[must_use]
    pub fn into_claims(self) -> Claims {
        self.claims
    }

    /// What the signature is over: header and payload as they stand in the token, with the dot between them.
    #[must_use]
    pub fn signing_input(&self) -> &'a str {
        self.signing_input
    }

    /// The signature's bytes.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The SHA-256 of the whole token: its name in a cache, where the token itself must not stand.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.token.as_bytes()).into()
    }
}

/// Without the token itself and its signature: whoever reads them in a log could use them.
impl fmt::Debug for Parsed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parsed")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// A part's JSON object, with unique names.
fn object(part: &'static str, text: &str) -> Result<Object, ParseReason> {
    let bytes = base64url::decode(text).ok_or(ParseReason::Base64 { part })?;
    unique(part, Object::parse(&bytes).ok_or(ParseReason::Json { part })?)
}

fn unique(part: &'static str, object: Object) -> Result<Object, ParseReason> {
    match object.duplicate {
        Some(name) => Err(ParseReason::Duplicate { part, name: quoted(&name) }),
        None => Ok(object),
    }
}

struct Header {
    kid: Option<String>,
    algorithm: String,
}

impl Header {
    fn parse(object: &Object) -> Result<Self, ParseReason> {
        // RFC 7515 section 4.1.11: what a token calls critical and we don't know makes it invalid; we know nothing.
        if object.members.contains_key("crit") {
            return Err(ParseReason::Critical);
        }
        let typ = optional_text(object, "typ")?.unwrap_or("JWT");
        if !typ.eq_ignore_ascii_case("JWT") {
            return Err(ParseReason::Claim { name: "typ", expected: "JWT" });
        }
        Ok(Self {
            kid: optional_text(object, "kid")?.map(str::to_owned),
            algorithm: optional_text(object, "alg")?.ok_or(ParseReason::Missing { name: "alg" })?.to_owned(),
        })
    }
}

fn claims(object: &Object) -> Result<Claims, ParseReason> {
    let subject = text(object, "sub")?;
    let scope = text(object, "scp")?;
    let issuer = text(object, "iss")?;
    // Old versions issued in the name of the creating user, `<service-id>/users/<creator>` (contract 1.8).
    let issuer = issuer.split_once('/').map_or(issuer, |(service, _)| service);
    let audience = object.members.get("aud").ok_or(ParseReason::Missing { name: "aud" })?;
    Ok(Claims {
        revocable: revocable(object)?,
        subject: Subject::parse(subject)
            .map_err(|_| ParseReason::Claim { name: "sub", expected: "a subject of a service" })?,
        scope: Scope::read(scope).map_err(|_| ParseReason::Claim { name: "scp", expected: "a scope" })?,
        audience: Audience::from_json(audience)
            .map_err(|_| ParseReason::Claim { name: "aud", expected: "a string or an array of strings" })?,
        issuer: ServiceId::parse(issuer)
            .map_err(|_| ParseReason::Claim { name: "iss", expected: "a service id" })?,
        expires_at: optional_secs(object, "exp")?,
        issued_at: optional_secs(object, "iat")?.ok_or(ParseReason::Missing { name: "iat" })?,
        not_before: optional_secs(object, "nbf")?,
        id: optional_text(object, "jti")?.and_then(|id| TokenId::parse(id).ok()),
        index: optional_secs(object, "idx")?,
    })
}

/// `ext` is a JSON object inside a JSON string: `"{\"revocable\":\"true\"}"`. What can't be read might say "revocable", so
/// the token is refused rather than believed without it.
fn revocable(object: &Object) -> Result<Option<bool>, ParseReason> {
    const MALFORMED: ParseReason = ParseReason::Claim {
        name: "ext",
        expected: "a string with a JSON object whose `revocable` is true or false",
    };
    let Some(text) = optional_text(object, "ext")? else { return Ok(None) };
    let ext = unique("ext", Object::parse(text.as_bytes()).ok_or(MALFORMED)?)?;
    match ext.members.get("revocable") {
        None => Ok(None),
        Some(Value::Bool(revocable)) => Ok(Some(*revocable)),
        Some(Value::String(word)) if word == "true" => Ok(Some(true)),
        Some(Value::String(word)) if word == "false" => Ok(Some(false)),
        Some(_) => Err(MALFORMED),
    }
}

fn text<'o>(object: &'o Object, name: &'static str) -> Result<&'o str, ParseReason> {
    optional_text(object, name)?.ok_or(ParseReason::Missing { name })
}

fn optional_text<'o>(object: &'o Object, name: &'static str) -> Result<Option<&'o str>, ParseReason> {
    let expected = ParseReason::Claim { name, expected: "a string" };
    object.members.get(name).map(|value| value.as_str().ok_or(expected)).transpose()
}

/// A number of whole seconds (or a log index) that fits 64 bits; a fraction, a sign or an overflow is refused.
fn optional_secs(object: &Object, name: &'static str) -> Result<Option<u64>, ParseReason> {
    let expected = ParseReason::Claim { name, expected: "a whole number below 2^64" };
    object.members.get(name).map(|value| value.as_u64().ok_or(expected)).transpose()
}
