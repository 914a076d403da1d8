//! The fixed keys and names that the tests use. The private keys are in the open and worth nothing.
use circlet_token::{
    Claims, KeyId, KeySet, PublicKey, Scope, ServiceId, SigningKey, Subject, TokenId, read_certificate,
};

pub(crate) const OWN_KEY: &str = include_str!("../data/own.key");
pub(crate) const OWN_CERTIFICATE: &[u8] = include_bytes!("../data/own.crt");
pub(crate) const MEMBER_KEY: &str = include_str!("../data/member.key");
pub(crate) const MEMBER_CERTIFICATE: &[u8] = include_bytes!("../data/member.crt");
/// Another certificate for the member's key, which nobody here has been shown.
pub(crate) const MEMBER_RENEWED_CERTIFICATE: &[u8] = include_bytes!("../data/member.renewed.crt");
pub(crate) const EC_CERTIFICATE: &[u8] = include_bytes!("../data/ec.crt");

pub(crate) const OWN: &str = "jfrt@01ka0000000000000000000aaa";
pub(crate) const MEMBER: &str = "jfac@01kb0000000000000000000bbb";
pub(crate) const EC: &str = "jfrt@01kc0000000000000000000ccc";

/// When the tests take place.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn own() -> ServiceId {
    ServiceId::parse(OWN).unwrap()
}

pub(crate) fn own_key() -> SigningKey {
    SigningKey::from_pem(OWN_KEY).unwrap()
}

pub(crate) fn member_key() -> SigningKey {
    SigningKey::from_pem(MEMBER_KEY).unwrap()
}

pub(crate) fn kid(certificate: &[u8]) -> KeyId {
    read_certificate(certificate).unwrap().key_id
}

/// Our own key, an RSA member's and an EC member's.
pub(crate) fn trusted() -> KeySet {
    let mut keys = KeySet::new();
    for certificate in [OWN_CERTIFICATE, MEMBER_CERTIFICATE, EC_CERTIFICATE] {
        keys.insert(PublicKey::from_certificate(certificate, None).unwrap()).unwrap();
    }
    keys
}

/// Claims of ours, of a user, for an hour.
pub(crate) fn claims() -> Claims {
    Claims {
        revocable: None,
        subject: Subject::parse(&format!("{OWN}/users/alice")).unwrap(),
        scope: Scope::parse("applied-permissions/user").unwrap(),
        audience: circlet_token::Audience::any(),
        issuer: own(),
        expires_at: Some(NOW + 3600),
        issued_at: NOW,
        not_before: None,
        id: Some(TokenId::parse("6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5b6c").unwrap()),
        index: Some(42),
    }
}
