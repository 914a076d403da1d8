//! Vectors about keys: headers that wish, issuers that borrow, signatures that nobody made.
use crate::data::{
    self, EC, EC_CERTIFICATE, MEMBER, MEMBER_CERTIFICATE, MEMBER_KEY, MEMBER_RENEWED_CERTIFICATE, OWN,
    OWN_CERTIFICATE,
};
use crate::forge::{
    self, decode, encode, header as header_of, own_header, own_signature, payload, payload_with, signed,
    stranger, with_signature,
};
use crate::themes::{member_token, spoken};
use crate::vectors::Vector;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{RSA_PKCS1_SHA384, RSA_PKCS1_SHA512};
use circlet_token::{SigningKey, read_certificate};
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use sha2::{Digest as _, Sha512};
use std::ops::{Add, Mul};

/// The order of the Ed25519 base point (RFC 8032 section 5.1), little-endian.
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn kid(certificate: &[u8]) -> String {
    data::kid(certificate).to_string()
}

fn ec_token() -> String {
    format!("{}.{}", forge::ec_signing_input(), forge::EC_SIGNATURE.trim())
}

pub(crate) fn accepted() -> Vec<Vector> {
    let good = |name, token| Vector::new(name, "accepted", token);
    let member = payload(MEMBER);
    vec![
        good("ours, Ed25519", forge::own(&payload(OWN))),
        good("a member's, RSA", member_token()),
        good("a member's, P-256", ec_token()),
        good("slashes escaped, as old versions do", forge::member(&member.replace('/', "\\/"))),
        good(
            "an issuer in its long form",
            forge::member(&member.replacen(
                &format!("\"iss\":\"{MEMBER}\""),
                &format!("\"iss\":\"{MEMBER}/users/creator\""),
                1,
            )),
        ),
        good(
            "an issuer and a subject of different kind, one service",
            forge::member(&member.replace("\"iss\":\"jfac@", "\"iss\":\"jffe@")),
        ),
        good("the oldest kind of service id", forge::member(&member.replace("jfac@", "jf-artifactory@"))),
        good("a list of audiences", forge::member(&member.replacen("\"*@*\"", "[\"jfxr@*\",\"jfrt@*\"]", 1))),
        good(
            "an id that is not a UUID",
            forge::member(&member.replacen("6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5b6c", "7", 1)),
        ),
        good(
            "a scope of another product",
            forge::member(&member.replacen("applied-permissions/user", "path:repo:read", 1)),
        ),
        good(
            "a subject that is the service itself",
            spoken(&forge::member_header(), MEMBER, MEMBER, &data::member_key()),
        ),
        good(
            "marked as revocable",
            forge::own(&payload_with("{", "{\"ext\":\"{\\\"revocable\\\":\\\"true\\\"}\",")),
        ),
        good(
            "a renewed certificate on the same key",
            signed(
                &header_of("RS256", &kid(MEMBER_RENEWED_CERTIFICATE)),
                member.as_bytes(),
                &data::member_key(),
            ),
        ),
        good("no key id", signed(r#"{"alg":"RS256"}"#, member.as_bytes(), &data::member_key())),
    ]
}

pub(crate) fn header() -> Vec<Vector> {
    [unkeyed(), swapped(), parameters()].concat()
}

fn unkeyed() -> Vec<Vector> {
    let own_kid = kid(OWN_CERTIFICATE);
    let unsecured = |header: &str| format!("{}.", forge::signing_input(header, payload(OWN).as_bytes()));
    let certificate = read_certificate(MEMBER_CERTIFICATE).unwrap();
    let hmac = |secret: &[u8], kid: &str| {
        let input = forge::signing_input(&header_of("HS256", kid), payload(MEMBER).as_bytes());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
        format!("{input}.{}", encode(tag))
    };
    vec![
        Vector::new("unsecured", "algorithm", unsecured(&header_of("none", &own_kid))),
        Vector::new("unsecured, in other letters", "algorithm", unsecured(&header_of("nOnE", &own_kid))),
        Vector::new("unsecured, under an unknown key", "algorithm", unsecured(&header_of("none", "x"))),
        Vector::new("unsecured, without a key id", "algorithm", unsecured(r#"{"alg":"none"}"#)),
        Vector::new(
            "unsecured, with the signature of another token",
            "algorithm",
            format!("{}AAAA", unsecured(&header_of("none", &own_kid))),
        ),
        Vector::new(
            "HMAC with the public key as its secret",
            "algorithm",
            hmac(&certificate.spki_der, certificate.key_id.as_str()),
        ),
        Vector::new(
            "HMAC with the certificate as its secret",
            "algorithm",
            hmac(MEMBER_CERTIFICATE, certificate.key_id.as_str()),
        ),
        Vector::new("HMAC under an unknown key", "algorithm", hmac(&certificate.spki_der, "x")),
    ]
}

fn swapped() -> Vec<Vector> {
    let own_kid = kid(OWN_CERTIFICATE);
    let swapped = |name, alg: &str, kid: &str, issuer: &str, key: &SigningKey| {
        Vector::new(name, "algorithm", signed(&header_of(alg, kid), payload(issuer).as_bytes(), key))
    };
    vec![
        swapped("our Ed25519 key, called RSA", "RS256", &own_kid, OWN, &data::own_key()),
        swapped("our Ed25519 key, called P-256", "ES256", &own_kid, OWN, &data::own_key()),
        swapped(
            "a member's RSA key, called Ed25519",
            "EdDSA",
            &kid(MEMBER_CERTIFICATE),
            MEMBER,
            &data::member_key(),
        ),
        swapped(
            "a member's RSA key, called PSS",
            "PS256",
            &kid(MEMBER_CERTIFICATE),
            MEMBER,
            &data::member_key(),
        ),
        swapped("a member's P-256 key, called RSA", "RS256", &kid(EC_CERTIFICATE), EC, &data::member_key()),
    ]
}

fn parameters() -> Vec<Vector> {
    let own_kid = kid(OWN_CERTIFICATE);
    let raw = |name, expect, header: &str| {
        Vector::new(name, expect, signed(header, payload(OWN).as_bytes(), &data::own_key()))
    };
    let with = |more: &str| format!("{},{more}}}", own_header().trim_end_matches('}'));
    let embedded = with(&format!(
        "\"jwk\":{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{}\"}}",
        encode(&stranger().spki_der()[12..])
    ));
    vec![
        raw("the right algorithm in other letters", "algorithm", &header_of("eddsa", &own_kid)),
        raw("no algorithm", "parse/missing", &format!("{{\"kid\":\"{own_kid}\"}}")),
        raw(
            "an algorithm that is a list",
            "parse/claim",
            &format!("{{\"alg\":[\"EdDSA\"],\"kid\":\"{own_kid}\"}}"),
        ),
        raw("an algorithm that is null", "parse/claim", &format!("{{\"alg\":null,\"kid\":\"{own_kid}\"}}")),
        raw("a key id that is a number", "parse/claim", r#"{"alg":"EdDSA","kid":7}"#),
        raw("an extension called critical", "parse/critical", &with("\"crit\":[\"exp\"],\"exp\":1")),
        raw(
            "an unencoded payload, called critical",
            "parse/critical",
            &with("\"b64\":false,\"crit\":[\"b64\"]"),
        ),
        raw("nothing called critical", "parse/critical", &with("\"crit\":[]")),
        raw("another type of token", "parse/claim", &own_header().replace("JWT", "dpop+jwt")),
        Vector::new(
            "a key brought along",
            "signature",
            signed(&embedded, payload(OWN).as_bytes(), &stranger()),
        ),
        Vector::new(
            "a key fetched from elsewhere",
            "signature",
            signed(&with("\"jku\":\"https://example.org/keys\""), payload(OWN).as_bytes(), &stranger()),
        ),
        Vector::new(
            "a certificate brought along",
            "signature",
            signed(&with("\"x5c\":[\"MIIB\"]"), payload(OWN).as_bytes(), &stranger()),
        ),
    ]
}

pub(crate) fn issuer() -> Vec<Vector> {
    [borrowed_names(), borrowed_keys()].concat()
}

fn borrowed_names() -> Vec<Vector> {
    let (own, member) = (data::own_key(), data::member_key());
    let user = |issuer: &str| format!("{issuer}/users/admin");
    let under = |certificate: &[u8], alg: &str| header_of(alg, &kid(certificate));
    vec![
        Vector::new(
            "our issuer under a member's key",
            "issuer",
            spoken(&under(MEMBER_CERTIFICATE, "RS256"), OWN, &user(OWN), &member),
        ),
        Vector::new(
            "a member's issuer under our key",
            "issuer",
            spoken(&own_header(), MEMBER, &user(MEMBER), &own),
        ),
        Vector::new(
            "a member's issuer under another member's key",
            "issuer",
            spoken(&under(MEMBER_CERTIFICATE, "RS256"), EC, &user(EC), &member),
        ),
        Vector::new(
            "our issuer in its long form under a member's key",
            "issuer",
            spoken(
                &under(MEMBER_CERTIFICATE, "RS256"),
                &format!("{OWN}/users/{MEMBER}"),
                &user(OWN),
                &member,
            ),
        ),
        Vector::new(
            "our subject under a member's issuer and key",
            "subject",
            spoken(&under(MEMBER_CERTIFICATE, "RS256"), MEMBER, &user(OWN), &member),
        ),
        Vector::new(
            "a member's subject under our issuer and key",
            "subject",
            spoken(&own_header(), OWN, &user(MEMBER), &own),
        ),
        Vector::new(
            "a front end's subject under a member's issuer",
            "subject",
            spoken(&under(MEMBER_CERTIFICATE, "RS256"), MEMBER, "jffe@000/users/admin", &member),
        ),
    ]
}

fn borrowed_keys() -> Vec<Vector> {
    let member = data::member_key();
    let user = |issuer: &str| format!("{issuer}/users/admin");
    let under = |certificate: &[u8], alg: &str| header_of(alg, &kid(certificate));
    let strangers = |name, kid: &str| {
        Vector::new(name, "unknown_key", spoken(&header_of("EdDSA", kid), OWN, &user(OWN), &stranger()))
    };
    vec![
        Vector::new(
            "our key's id on a member's signature",
            "algorithm",
            spoken(&under(OWN_CERTIFICATE, "RS256"), MEMBER, &user(MEMBER), &member),
        ),
        Vector::new(
            "our key's id and algorithm on a stranger's signature",
            "signature",
            spoken(&own_header(), OWN, &user(OWN), &stranger()),
        ),
        Vector::new(
            "a member's unknown key id for our issuer",
            "unknown_key",
            spoken(&under(MEMBER_RENEWED_CERTIFICATE, "RS256"), OWN, &user(OWN), &member),
        ),
        Vector::new(
            "an unknown key id for an unknown issuer",
            "unknown_key",
            spoken(&header_of("RS256", "x"), "jfrt@01kd", &user("jfrt@01kd"), &member),
        ),
        strangers("a stranger's key for our issuer", "x"),
        strangers("a key id that is a path", "../../../dev/null"),
        strangers("a key id that is a query", "' or 1=1 --"),
        strangers("an empty key id", ""),
        Vector::new(
            "a stranger without a key id",
            "unknown_key",
            spoken(r#"{"alg":"EdDSA"}"#, OWN, &user(OWN), &stranger()),
        ),
        Vector::new(
            "our subject and no key id, from a member",
            "subject",
            spoken(r#"{"alg":"RS256"}"#, MEMBER, &user(OWN), &member),
        ),
    ]
}

pub(crate) fn signature() -> Vec<Vector> {
    [ed25519(), rsa(), p256()].concat()
}

fn ed25519() -> Vec<Vector> {
    let ours = |name, change: fn(Vec<u8>) -> Vec<u8>| Vector::new(name, "signature", own_signature(change));
    let other = forge::own(&payload_with("alice", "admin"));
    let (_, others) = other.rsplit_once('.').unwrap();
    let good = forge::own(&payload(OWN));
    let (input, _) = good.rsplit_once('.').unwrap();
    vec![
        Vector::new("no signature", "signature", format!("{input}.")),
        Vector::new(
            "the signature of another token of the same key",
            "signature",
            format!("{input}.{others}"),
        ),
        ours("one byte short", |s| s[..63].to_vec()),
        ours("twice as long", |s| s.repeat(2)),
        ours("a scalar beyond the group's order", |s| {
            [&s[..32], &add_little_endian(&s[32..], &ED25519_ORDER)].concat()
        }),
        ours("the scalar equal to the order", |s| [&s[..32], &ED25519_ORDER].concat()),
        ours("the neutral point and a zero scalar", |_| [[1].as_slice(), &[0; 63]].concat()),
        Vector::new("the neutral point, made to fit by the key's owner", "signature", neutral_point(input)),
        ours("a point of order four and a zero scalar", |_| vec![0; 64]),
        ours("a point of order two and a zero scalar", |_| {
            [[0xec].as_slice(), &[0xff; 30], &[0x7f], &[0; 32]].concat()
        }),
        ours("a point of order eight and a zero scalar", |_| {
            [decode("JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU").as_slice(), &[0; 32]].concat()
        }),
        ours("the neutral point in its second spelling", |_| {
            [[0xee].as_slice(), &[0xff; 30], &[0x7f], &[0; 32]].concat()
        }),
        ours("a point that is not on the curve", |s| [[2].as_slice(), &[0; 31], &s[32..]].concat()),
        ours("the halves exchanged", |s| [&s[32..], &s[..32]].concat()),
    ]
}

fn rsa() -> Vec<Vector> {
    let rsa = |name, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        Vector::new(name, "signature", with_signature(&member_token(), change))
    };
    vec![
        rsa("RSA, one byte short", &|s| s[..255].to_vec()),
        rsa("RSA, a zero byte before it", &|s| [vec![0], s].concat()),
        rsa("RSA, the number one", &|_| [vec![0; 255], vec![1]].concat()),
        rsa("RSA, all zero", &|_| vec![0; 256]),
        rsa("RSA, all ones, beyond the modulus", &|_| vec![0xff; 256]),
        rsa("RSA with SHA-512", &|_| rsa_with(&RSA_PKCS1_SHA512)),
        rsa("RSA with SHA-384", &|_| rsa_with(&RSA_PKCS1_SHA384)),
        rsa("RSA-PSS", &|_| decode(forge::PSS_SIGNATURE)),
    ]
}

fn p256() -> Vec<Vector> {
    let ec = |name, change: fn(Vec<u8>) -> Vec<u8>| {
        Vector::new(name, "signature", with_signature(&ec_token(), change))
    };
    vec![
        ec("P-256, all zero", |_| vec![0; 64]),
        ec("P-256, both numbers one", |_| [[0; 31].as_slice(), &[1], &[0; 31], &[1]].concat()),
        ec("P-256, in DER instead of 64 bytes", |s| der_signature(&s)),
        ec("P-256, a byte before each number", |s| [&[0], &s[..32], &[0], &s[32..]].concat()),
        ec("P-256, one byte short", |s| s[..63].to_vec()),
        ec("P-256, the halves exchanged", |s| [&s[32..], &s[..32]].concat()),
        ec("P-256, a second number of zero", |s| [&s[..32], &[0; 32]].concat()),
        ec("P-256, numbers beyond the order", |_| vec![0xff; 64]),
    ]
}

/// What a member's key makes of its good token with another digest.
fn rsa_with(padding: &'static dyn aws_lc_rs::signature::RsaEncoding) -> Vec<u8> {
    let der = SigningKey::from_pem(MEMBER_KEY).unwrap().to_pkcs8_der();
    let key = aws_lc_rs::rsa::KeyPair::from_pkcs8(&der).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    let random = aws_lc_rs::rand::SystemRandom::new();
    key.sign(padding, &random, forge::member_signing_input().as_bytes(), &mut signature).unwrap();
    signature
}

/// A signature that the equation of RFC 8032 section 5.1.7 holds for, and whose point R is the neutral one: S is k times the
/// secret scalar. Only a strict verifier refuses it.
fn neutral_point(input: &str) -> String {
    let key = ed25519_dalek::SigningKey::from_pkcs8_der(&data::own_key().to_pkcs8_der()).unwrap();
    let mut point = [0; 32];
    point[0] = 1;
    let k =
        Sha512::new().chain_update(point).chain_update(key.verifying_key()).chain_update(input).finalize();
    let secret = key.to_scalar();
    let scalar = little_endian(&k, &secret) * secret;
    format!("{input}.{}", encode([point, scalar.to_bytes()].concat()))
}

/// The number that the bytes stand for, as a scalar of the same kind as `_like`.
fn little_endian<S: From<u64> + Add<Output = S> + Mul<Output = S>>(bytes: &[u8], _like: &S) -> S {
    bytes.iter().rev().fold(S::from(0), |sum, byte| sum * S::from(256) + S::from(u64::from(*byte)))
}

fn add_little_endian(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    a.iter()
        .zip(b)
        .map(|(a, b)| {
            let sum = u16::from(*a) + u16::from(*b) + carry;
            carry = sum >> 8;
            u8::try_from(sum & 0xff).unwrap()
        })
        .collect()
}

/// The same two numbers as ASN.1 (RFC 3279 section 2.2.3).
fn der_signature(fixed: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap();
        let sign = if bytes[start] & 0x80 == 0 { vec![] } else { vec![0] };
        let body = [&sign, &bytes[start..]].concat();
        [vec![2, u8::try_from(body.len()).unwrap()], body].concat()
    };
    let body = [number(&fixed[..32]), number(&fixed[32..])].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
}
