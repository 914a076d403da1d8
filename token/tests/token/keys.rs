//! Private keys: the files they come in, and the signatures they make.
use crate::data::{self, MEMBER_CERTIFICATE, MEMBER_KEY, OWN_CERTIFICATE, OWN_KEY};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use circlet_token::{Algorithm, SigningKey, SigningKeyError, read_certificate};
use proptest::prelude::*;

/// PKCS#8 version 2 of the key in `own.key`: with its public half (RFC 8410 section 10.3), as ring and aws-lc write it.
fn version_2(public: &[u8; 32]) -> Vec<u8> {
    let seed: Vec<u8> = (1..=32).collect();
    [
        b"\x30\x51\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".as_slice(),
        &seed,
        b"\x81\x21\x00",
        public,
    ]
    .concat()
}

fn own_public() -> [u8; 32] {
    data::own_key().spki_der()[12..].try_into().unwrap()
}

#[test]
fn every_usual_file_is_read_and_fits_its_certificate() {
    for (text, algorithm, certificate) in [
        (OWN_KEY, Algorithm::EdDsa, OWN_CERTIFICATE),
        (MEMBER_KEY, Algorithm::Rs256, MEMBER_CERTIFICATE),
        (include_str!("../data/member.pkcs8.key"), Algorithm::Rs256, MEMBER_CERTIFICATE),
    ] {
        let key = SigningKey::from_pem(text).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(key.spki_der(), read_certificate(certificate).unwrap().spki_der);
        let again = SigningKey::from_pkcs8_der(&key.to_pkcs8_der()).unwrap();
        assert_eq!(again.sign(b"x"), key.sign(b"x"));
    }
    assert!(!data::own_key().fits(&read_certificate(MEMBER_CERTIFICATE).unwrap().spki_der));
    assert!(data::own_key().fits(&read_certificate(OWN_CERTIFICATE).unwrap().spki_der));
    assert!(!data::own_key().fits(b""));
}

#[test]
fn a_version_2_key_must_fit_its_own_public_half() {
    let key = SigningKey::from_pkcs8_der(&version_2(&own_public())).unwrap();
    assert_eq!(key.spki_der(), data::own_key().spki_der());
    let mut other = own_public();
    other[0] ^= 1;
    assert_eq!(SigningKey::from_pkcs8_der(&version_2(&other)).err(), Some(SigningKeyError::Unsupported));
}

#[test]
fn a_key_that_cannot_be_used_says_why() {
    let error = |text: &str| SigningKey::from_pem(text).err().unwrap();
    assert_eq!(error(include_str!("../data/encrypted.key")), SigningKeyError::Encrypted);
    assert_eq!(error(include_str!("../data/encrypted-traditional.key")), SigningKeyError::Encrypted);
    assert_eq!(error(include_str!("../data/ec.key")), SigningKeyError::Unsupported);
    assert_eq!(error(""), SigningKeyError::Count { found: 0 });
    assert_eq!(error(include_str!("../data/own.crt")), SigningKeyError::Count { found: 0 });
    assert_eq!(error(&format!("{OWN_KEY}{MEMBER_KEY}")), SigningKeyError::Count { found: 2 });
    assert_eq!(error(&OWN_KEY[..60]), SigningKeyError::Pem);
    assert_eq!(error(include_str!("../data/rsa-1024.key")), SigningKeyError::Unsupported);
    assert_eq!(SigningKey::from_pkcs8_der(b"").err(), Some(SigningKeyError::Unsupported));
}

proptest! {
    /// Should signing ever dominate a request, the other implementation can take over without a token changing.
    #[test]
    fn both_implementations_of_ed25519_sign_the_same_bytes(seed: [u8; 32], message: Vec<u8>) {
        let dalek = SigningKey::from_ed25519_seed(&seed);
        let aws = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        prop_assert_eq!(&dalek.spki_der()[12..], aws.public_key().as_ref());
        let signature = aws.sign(&message);
        prop_assert_eq!(dalek.sign(&message), signature.as_ref());
    }
}
