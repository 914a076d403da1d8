//! Remembered signatures: they save the arithmetic and decide nothing.
use crate::data::{self, MEMBER, MEMBER_CERTIFICATE, MEMBER_RENEWED_CERTIFICATE, OWN, OWN_CERTIFICATE, kid};
use crate::forge::{self, own, payload, payload_with};
use circlet_token::{KeySet, Parsed, PublicKey, Reject, ServiceId, SignatureFact, verify_signature};

fn trusting(certificates: &[(&[u8], Option<&str>)]) -> KeySet {
    let mut keys = KeySet::new();
    for (certificate, issuer) in certificates {
        let issuer = issuer.map(|issuer| ServiceId::parse(issuer).unwrap());
        keys.insert(PublicKey::from_certificate(certificate, issuer.as_ref()).unwrap()).unwrap();
    }
    keys
}

#[test]
fn a_fact_says_what_the_verification_said() {
    let keys = data::trusted();
    for token in [own(&payload(OWN)), forge::member(&payload(MEMBER))] {
        let parsed = Parsed::parse(&token).unwrap();
        let fact = SignatureFact::establish(&parsed, &keys).unwrap();
        assert_eq!(fact.digest(), parsed.digest());
        assert_eq!(fact.signer(&parsed, &keys), Some(verify_signature(&parsed, &keys).unwrap()));
    }
}

#[test]
fn a_bad_signature_is_no_fact() {
    let token = forge::own_signature(|s| [&s[32..], &s[..32]].concat());
    let parsed = Parsed::parse(&token).unwrap();
    assert_eq!(SignatureFact::establish(&parsed, &data::trusted()), Err(Reject::Signature));
}

#[test]
fn a_fact_is_about_one_token_only() {
    let keys = data::trusted();
    let (alice, admin) = (own(&payload(OWN)), own(&payload_with("alice", "admin")));
    let fact = SignatureFact::establish(&Parsed::parse(&alice).unwrap(), &keys).unwrap();
    assert_eq!(fact.signer(&Parsed::parse(&admin).unwrap(), &keys), None);
}

#[test]
fn a_fact_ends_with_the_trust_in_its_key() {
    let token = forge::member(&payload(MEMBER));
    let parsed = Parsed::parse(&token).unwrap();
    let fact = SignatureFact::establish(&parsed, &data::trusted()).unwrap();
    assert_eq!(fact.signer(&parsed, &trusting(&[(OWN_CERTIFICATE, None)])), None, "distrusted");
    let elsewhere = trusting(&[(MEMBER_CERTIFICATE, Some("jfrt@01kd"))]);
    assert_eq!(fact.signer(&parsed, &elsewhere), None, "trusted for another issuer");
    assert_eq!(fact.signer(&parsed, &trusting(&[(MEMBER_CERTIFICATE, None)])), Some(kid(MEMBER_CERTIFICATE)));
}

#[test]
fn a_fact_found_by_the_issuer_gives_way_to_the_key_that_the_token_names() {
    let header = forge::header("RS256", kid(MEMBER_RENEWED_CERTIFICATE).as_str());
    let token = forge::signed(&header, payload(MEMBER).as_bytes(), &data::member_key());
    let parsed = Parsed::parse(&token).unwrap();
    let mut keys = data::trusted();
    let fact = SignatureFact::establish(&parsed, &keys).unwrap();
    assert_eq!(fact.signer(&parsed, &keys), Some(kid(MEMBER_CERTIFICATE)));
    keys.insert(PublicKey::from_certificate(MEMBER_RENEWED_CERTIFICATE, None).unwrap()).unwrap();
    assert_eq!(fact.signer(&parsed, &keys), None);
    assert_eq!(verify_signature(&parsed, &keys), Ok(kid(MEMBER_RENEWED_CERTIFICATE)));
}
