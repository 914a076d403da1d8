//! What root certificates say, and which are refused.
use crate::data::{
    self, EC_CERTIFICATE, MEMBER_CERTIFICATE, MEMBER_RENEWED_CERTIFICATE, OWN_CERTIFICATE, OWN_KEY, kid, own,
};
use circlet_token::{
    Algorithm, CertificateError, CertificateFacts, KeyConflict, KeyError, KeyId, KeySet, PublicKey,
    ServiceId, read_certificate,
};

const LEAF: &[u8] = include_bytes!("../data/leaf.crt");
const NO_ISSUER: &[u8] = include_bytes!("../data/no-issuer.crt");

#[test]
fn a_root_certificate_says_whose_key_it_is() {
    for (certificate, algorithm, common_name, issuer) in [
        (OWN_CERTIFICATE, Algorithm::EdDsa, data::OWN, data::OWN),
        (
            MEMBER_CERTIFICATE,
            Algorithm::Rs256,
            "JFrog Token Issuer jfac@01kb0000000000000000000bbb",
            data::MEMBER,
        ),
        (EC_CERTIFICATE, Algorithm::Es256, "Custom root for jfrt@01kc0000000000000000000ccc", data::EC),
    ] {
        let facts = read_certificate(certificate).unwrap();
        assert_eq!(facts.algorithm, algorithm);
        assert_eq!(facts.common_name.as_deref(), Some(common_name));
        assert_eq!(facts.issuer.as_ref().map(ServiceId::as_str), Some(issuer));
        assert_eq!(facts.key_id, KeyId::of_certificate(&facts.der));
        assert!(facts.self_signed);
        // These certificates end in the year 6998 or 6999, as the original's do.
        assert!(facts.not_before < facts.not_after && facts.not_after > 158_000_000_000);
    }
}

#[test]
fn pem_der_and_bare_base64_are_one_certificate() {
    let facts = read_certificate(MEMBER_CERTIFICATE).unwrap();
    let pem = std::str::from_utf8(MEMBER_CERTIFICATE).unwrap();
    let bare: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let commented = format!("subject: CN=x\n{pem}\n");
    for bytes in
        [facts.der.as_slice(), bare.join("\n").as_bytes(), bare.join("").as_bytes(), commented.as_bytes()]
    {
        assert_eq!(read_certificate(bytes).unwrap(), facts);
    }
}

#[test]
fn what_is_not_one_whole_certificate_is_refused() {
    let pem = std::str::from_utf8(OWN_CERTIFICATE).unwrap();
    let der = read_certificate(OWN_CERTIFICATE).unwrap().der;
    let error = |bytes: &[u8]| read_certificate(bytes).unwrap_err();
    assert_eq!(error(b""), CertificateError::Format);
    assert_eq!(error(b"hello"), CertificateError::Format);
    assert_eq!(error(&[0xff, 0xfe]), CertificateError::Format);
    assert_eq!(error(format!("{pem}{pem}").as_bytes()), CertificateError::Count { found: 2 });
    assert_eq!(error(b"-----BEGIN X-----\n-----END X-----"), CertificateError::Count { found: 0 });
    assert_eq!(error(format!("{pem}{OWN_KEY}").as_bytes()), CertificateError::PrivateKey);
    assert_eq!(error(OWN_KEY.as_bytes()), CertificateError::PrivateKey);
    assert_eq!(error(&pem.as_bytes()[..200]), CertificateError::Format);
    assert_eq!(error(&[der.as_slice(), &[0]].concat()), CertificateError::X509);
    assert_eq!(error(&der[..der.len() - 1]), CertificateError::X509);
    assert_eq!(error(" ".repeat(70_000).as_bytes()), CertificateError::Oversize { bytes: 70_000 });
}

#[test]
fn a_flipped_bit_never_makes_another_root() {
    let root = read_certificate(OWN_CERTIFICATE).unwrap();
    for bit in 0..root.der.len() * 8 {
        let mut der = root.der.clone();
        der[bit / 8] ^= 1 << (bit % 8);
        // A flip may make it look like one that another authority signed, or change the frame around what is signed;
        // what a root says never changes under its signature, and the id tells all of them apart.
        match read_certificate(&der) {
            Ok(facts) if facts.self_signed => {
                assert_ne!(facts.key_id, root.key_id);
                let CertificateFacts { key_id, der, .. } = root.clone();
                assert_eq!(CertificateFacts { key_id, der, ..facts }, root, "bit {bit}");
            }
            Ok(_) | Err(_) => {}
        }
    }
}

#[test]
fn a_certificate_of_another_authority_is_not_a_root() {
    let facts = read_certificate(LEAF).unwrap();
    assert!(!facts.self_signed);
    assert_eq!(facts.issuer.unwrap().as_str(), "jfrt@01ke");
}

#[test]
fn keys_that_cannot_be_believed_are_refused() {
    for (certificate, expected) in [
        (include_bytes!("../data/rsa-1024.crt").as_slice(), KeyError::RsaBits { bits: 1024 }),
        (include_bytes!("../data/rsa-5120.crt"), KeyError::RsaBits { bits: 5120 }),
        (include_bytes!("../data/rsa-exponent-3.crt"), KeyError::RsaExponent),
        (include_bytes!("../data/p384.crt"), KeyError::Unsupported),
    ] {
        assert_eq!(read_certificate(certificate).unwrap_err(), CertificateError::Key(expected));
    }
}

#[test]
fn a_key_of_small_order_is_refused() {
    let prefix = read_certificate(OWN_CERTIFICATE).unwrap().spki_der[..12].to_vec();
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut second_spelling = [0xff; 32];
    second_spelling[0] = 0xee;
    second_spelling[31] = 0x7f;
    for point in [neutral, [0; 32], second_spelling] {
        let spki = [prefix.as_slice(), &point].concat();
        let error = PublicKey::from_parts(kid(OWN_CERTIFICATE), Algorithm::EdDsa, own(), &spki).unwrap_err();
        assert_eq!(error, KeyError::Invalid { algorithm: Algorithm::EdDsa });
    }
}

#[test]
fn a_key_needs_an_issuer_and_its_own_algorithm() {
    let error = PublicKey::from_certificate(NO_ISSUER, None).unwrap_err();
    assert_eq!(error, CertificateError::NoIssuer { common_name: "example.org".to_owned() });
    assert_eq!(PublicKey::from_certificate(NO_ISSUER, Some(&own())).unwrap().issuer(), &own());
    let facts = read_certificate(OWN_CERTIFICATE).unwrap();
    let parts = |algorithm, spki: &[u8]| PublicKey::from_parts(facts.key_id.clone(), algorithm, own(), spki);
    assert_eq!(parts(Algorithm::EdDsa, &facts.spki_der).unwrap().spki_der(), facts.spki_der);
    assert_eq!(
        parts(Algorithm::Rs256, &facts.spki_der).unwrap_err(),
        KeyError::Algorithm { expected: Algorithm::Rs256, found: Algorithm::EdDsa }
    );
    assert_eq!(parts(Algorithm::EdDsa, b"").unwrap_err(), KeyError::Der);
    assert_eq!(
        parts(Algorithm::EdDsa, &[facts.spki_der.as_slice(), &[0]].concat()).unwrap_err(),
        KeyError::Der
    );
}

#[test]
fn one_public_key_belongs_to_one_issuer() {
    let mut keys = data::trusted();
    assert_eq!(keys.len(), 3);
    keys.insert(PublicKey::from_certificate(MEMBER_CERTIFICATE, None).unwrap()).unwrap();
    assert_eq!(keys.len(), 3, "the same key again changes nothing");
    keys.insert(PublicKey::from_certificate(MEMBER_RENEWED_CERTIFICATE, None).unwrap()).unwrap();
    assert_eq!(keys.of_issuer(&ServiceId::parse(data::MEMBER).unwrap(), Algorithm::Rs256).count(), 2);

    let claimed = ServiceId::parse("jfrt@01kd").unwrap();
    let conflict = keys.insert(PublicKey::from_certificate(NO_ISSUER, Some(&claimed)).unwrap()).unwrap_err();
    assert_eq!(conflict, KeyConflict::OtherIssuer { id: kid(NO_ISSUER), owner: own(), claimed });

    let facts = read_certificate(EC_CERTIFICATE).unwrap();
    let ours = PublicKey::from_parts(kid(OWN_CERTIFICATE), facts.algorithm, own(), &facts.spki_der).unwrap();
    assert_eq!(KeySet::new().insert(ours.clone()), Ok(()));
    assert_eq!(keys.insert(ours), Err(KeyConflict::OtherKey { id: kid(OWN_CERTIFICATE) }));
}
