//! Forging tokens: every part can be anything.
use crate::data::{self, EC_CERTIFICATE, MEMBER, MEMBER_CERTIFICATE, NOW, OWN, OWN_CERTIFICATE};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use circlet_token::SigningKey;

/// The one ES256 signature that exists for the vectors, made once with `tests/data/ec.key` over [`ec_signing_input`]: ECDSA
/// is randomised, so it cannot be made anew.
pub(crate) const EC_SIGNATURE: &str = include_str!("../data/ec.signature");
/// RSA-PSS over [`member_signing_input`], made once with `tests/data/member.key`.
pub(crate) const PSS_SIGNATURE: &str = include_str!("../data/member.pss-signature");

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.trim()).unwrap()
}

pub(crate) fn header(alg: &str, kid: &str) -> String {
    format!(r#"{{"ver":"2","typ":"JWT","alg":"{alg}","kid":"{kid}"}}"#)
}

pub(crate) fn own_header() -> String {
    header("EdDSA", data::kid(OWN_CERTIFICATE).as_str())
}

pub(crate) fn member_header() -> String {
    header("RS256", data::kid(MEMBER_CERTIFICATE).as_str())
}

pub(crate) fn ec_header() -> String {
    header("ES256", data::kid(EC_CERTIFICATE).as_str())
}

/// A good payload of an issuer.
pub(crate) fn payload(issuer: &str) -> String {
    payload_of(issuer, &format!("{issuer}/users/alice"))
}

pub(crate) fn payload_of(issuer: &str, subject: &str) -> String {
    format!(
        r#"{{"sub":"{subject}","scp":"applied-permissions/user","aud":"*@*","iss":"{issuer}","exp":{},"iat":{NOW},"jti":"6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5b6c","idx":42}}"#,
        NOW + 3600
    )
}

/// Our good payload with one piece of its text replaced, which must be there.
pub(crate) fn payload_with(from: &str, to: &str) -> String {
    let payload = payload(OWN);
    assert!(payload.contains(from), "{from} is not in {payload}");
    payload.replacen(from, to, 1)
}

pub(crate) fn signing_input(header: &str, payload: &[u8]) -> String {
    format!("{}.{}", encode(header), encode(payload))
}

pub(crate) fn ec_signing_input() -> String {
    signing_input(&ec_header(), payload(data::EC).as_bytes())
}

pub(crate) fn member_signing_input() -> String {
    signing_input(&member_header(), payload(MEMBER).as_bytes())
}

/// A token of these parts, signed by that key whatever they say.
pub(crate) fn signed(header: &str, payload: &[u8], key: &SigningKey) -> String {
    let input = signing_input(header, payload);
    let signature = encode(key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

/// A token with our key and header.
pub(crate) fn own(payload: &str) -> String {
    signed(&own_header(), payload.as_bytes(), &data::own_key())
}

/// A token with the member's key and header.
pub(crate) fn member(payload: &str) -> String {
    signed(&member_header(), payload.as_bytes(), &data::member_key())
}

/// A good token of ours with another signature.
pub(crate) fn own_signature(change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    with_signature(&own(&payload(OWN)), change)
}

pub(crate) fn with_signature(token: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    format!("{input}.{}", encode(change(decode(signature))))
}

/// An Ed25519 key that nobody here trusts.
pub(crate) fn stranger() -> SigningKey {
    SigningKey::from_ed25519_seed(&[0x5a; 32])
}
