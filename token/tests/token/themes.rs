//! What the vectors contain, by theme. Signatures and keys are in `hostile.rs`.
use crate::data::{MEMBER, NOW, OWN};
use crate::forge::{
    encode, own, own_header, own_signature, payload, payload_of, payload_with, signed, signing_input,
};
use crate::vectors::Vector;
use crate::{data, forge, hostile};

type Theme = (&'static str, &'static str, Vec<Vector>);

pub(crate) fn all() -> Vec<Theme> {
    vec![
        ("accepted", "Good tokens, so that a verifier that refuses everything fails.", hostile::accepted()),
        ("form", "Texts that are not one canonical token.", form()),
        ("header", "Headers that wish for something.", hostile::header()),
        ("claims", "Signed payloads that say something unreadable.", [claims(), extensions()].concat()),
        ("duplicates", "Names that come twice, so that two parsers read two tokens.", duplicates()),
        ("issuer", "Keys that speak for someone else.", hostile::issuer()),
        ("signature", "Signatures that nobody made over this token.", hostile::signature()),
        ("time", "Tokens at the edges of their time.", time()),
        ("audience", "Tokens for someone else.", audience()),
    ]
}

fn form() -> Vec<Vector> {
    [shapes(), spellings(), payloads()].concat()
}

/// A good token and its parts.
fn good() -> (String, [String; 3]) {
    let good = own(&payload(OWN));
    let parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    (good, parts.try_into().unwrap())
}

fn shapes() -> Vec<Vector> {
    let (good, [header, body, signature]) = good();
    vec![
        Vector::new("an empty text", "parse/shape", String::new()),
        Vector::new("dots alone", "parse/json", "..".to_owned()),
        Vector::new("one part", "parse/shape", header.clone()),
        Vector::new(
            "two parts: an unsecured token without its last dot",
            "parse/shape",
            format!("{header}.{body}"),
        ),
        Vector::new("four parts", "parse/shape", format!("{good}.{signature}")),
        Vector::new(
            "five parts, as an encrypted token has",
            "parse/shape",
            format!("{header}.{body}.{signature}.a.b"),
        ),
        Vector::new(
            "a reference token",
            "parse/shape",
            "cmVmdGtuOjAxOjAwMDAwMDAwMDA6YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXow".to_owned(),
        ),
        Vector::new(
            "more than 16 KiB",
            "parse/oversize",
            format!("{header}.{}.{signature}", "A".repeat(16 * 1024)),
        ),
        Vector::new("header and payload exchanged", "parse/missing", format!("{body}.{header}.{signature}")),
    ]
}

fn spellings() -> Vec<Vector> {
    let (good, [header, body, signature]) = good();
    // The last character of a signature of 64 bytes carries four bits that belong to no byte.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let twin = alphabet.chars().nth(alphabet.find(last).unwrap() ^ 1).unwrap();
    let stem = &good[..good.len() - 1];
    vec![
        Vector::new("padding behind the header", "parse/base64", format!("{header}=.{body}.{signature}")),
        Vector::new("padding behind the payload", "parse/base64", format!("{header}.{body}==.{signature}")),
        Vector::new("padding behind the signature", "parse/base64", format!("{good}==")),
        Vector::new("a newline behind the token", "parse/base64", format!("{good}\n")),
        Vector::new("a space before the token", "parse/base64", format!(" {good}")),
        Vector::new(
            "a line break within the payload",
            "parse/base64",
            format!("{header}.{}\r\n{}.{signature}", &body[..8], &body[8..]),
        ),
        Vector::new("a NUL behind the token", "parse/base64", format!("{good}\0")),
        Vector::new(
            "bits left over in the signature's last character",
            "parse/base64",
            format!("{stem}{twin}"),
        ),
        Vector::new("one character more in the signature", "parse/base64", format!("{good}AAA")),
        Vector::new(
            "one whole byte more in the signature",
            "signature",
            own_signature(|s| [s, vec![0]].concat()),
        ),
        Vector::new(
            "the standard alphabet in the signature",
            "parse/base64",
            format!("{header}.{body}.{}", signature.replace(['-', '_'], "+")),
        ),
        Vector::new("a letter outside ASCII", "parse/base64", format!("{good}é")),
    ]
}

fn payloads() -> Vec<Vector> {
    let with_body = |bytes: &[u8]| signed(&own_header(), bytes, &data::own_key());
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
    let after = |tail: &[u8]| with_body(&[payload(OWN).as_bytes(), tail].concat());
    vec![
        Vector::new(
            "a payload that is not UTF-8",
            "parse/json",
            with_body(
                &payload(OWN)
                    .replace("alice", "\u{1}")
                    .bytes()
                    .map(|b| if b == 1 { 0xff } else { b })
                    .collect::<Vec<_>>(),
            ),
        ),
        Vector::new("a payload in overlong UTF-8", "parse/json", with_body(b"{\"sub\":\"\xc0\xaf\"}")),
        Vector::new(
            "a payload with a byte order mark",
            "parse/json",
            with_body(&[b"\xef\xbb\xbf", payload(OWN).as_bytes()].concat()),
        ),
        Vector::new("a second object behind the payload", "parse/json", after(b"{\"sub\":\"x\"}")),
        Vector::new("a NUL behind the payload", "parse/json", after(b"\0")),
        Vector::new("half a surrogate pair", "parse/json", own(&payload_with("alice", "\\ud83e"))),
        Vector::new("a payload that is a list", "parse/json", with_body(b"[]")),
        Vector::new("a payload that is null", "parse/json", with_body(b"null")),
        Vector::new("an empty payload", "parse/json", with_body(b"")),
        Vector::new("a payload cut off", "parse/json", with_body(&payload(OWN).as_bytes()[..80])),
        Vector::new("a payload nested a thousand deep", "parse/json", with_body(deep.as_bytes())),
        Vector::new(
            "a header that is not JSON",
            "parse/json",
            signed("alg=EdDSA", payload(OWN).as_bytes(), &data::own_key()),
        ),
    ]
}

fn claims() -> Vec<Vector> {
    let exp = format!("\"exp\":{}", NOW + 3600);
    let iat = format!("\"iat\":{NOW}");
    let sub = format!("\"sub\":\"{OWN}/users/alice\"");
    let iss = format!("\"iss\":\"{OWN}\"");
    let change = |name, expect, from: &str, to: &str| Vector::new(name, expect, own(&payload_with(from, to)));
    vec![
        change("no subject", "parse/missing", &format!("{sub},"), ""),
        change("no scope", "parse/missing", "\"scp\":\"applied-permissions/user\",", ""),
        change("no audience", "parse/missing", "\"aud\":\"*@*\",", ""),
        change("no issuer", "parse/missing", &format!("{iss},"), ""),
        change("no time of issue", "parse/missing", &format!("{iat},"), ""),
        change("an expiry of 2^64", "parse/claim", &exp, "\"exp\":18446744073709551616"),
        change("an expiry far beyond any integer", "parse/claim", &exp, "\"exp\":1e300"),
        change("an expiry beyond any number", "parse/json", &exp, "\"exp\":1e999"),
        change("a negative expiry", "parse/claim", &exp, "\"exp\":-1"),
        change("a fractional expiry", "parse/claim", &exp, "\"exp\":1800003600.5"),
        change("an expiry in a string", "parse/claim", &exp, "\"exp\":\"1800003600\""),
        change("an expiry that is null, not absent", "parse/claim", &exp, "\"exp\":null"),
        change("a negative time of issue", "parse/claim", &iat, "\"iat\":-1"),
        change("a log index of 2^64", "parse/claim", "\"idx\":42", "\"idx\":18446744073709551616"),
        change("a not-before in a string", "parse/claim", &iat, &format!("{iat},\"nbf\":\"0\"")),
        change("a subject without a service", "parse/claim", &sub, "\"sub\":\"alice\""),
        change(
            "a subject of a mapping, not of a service",
            "parse/claim",
            &sub,
            "\"sub\":\"github/deployers\"",
        ),
        change("a subject with a line break", "parse/claim", &sub, &format!("\"sub\":\"{OWN}/users/a\\nb\"")),
        change(
            "a subject with nobody behind `users/`",
            "parse/claim",
            &sub,
            &format!("\"sub\":\"{OWN}/users/\""),
        ),
        change("a subject in a list", "parse/claim", &sub, &format!("\"sub\":[\"{OWN}/users/alice\"]")),
        change("an issuer in upper case", "parse/claim", &iss, "\"iss\":\"JFRT@01KA0000000000000000000AAA\""),
        change("an issuer that is a URL", "parse/claim", &iss, "\"iss\":\"https://example.org\""),
        change("an audience that is a number", "parse/claim", "\"aud\":\"*@*\"", "\"aud\":7"),
        change("an audience with a number in it", "parse/claim", "\"aud\":\"*@*\"", "\"aud\":[\"*@*\",7]"),
        change(
            "an audience with a space in an entry",
            "parse/claim",
            "\"aud\":\"*@*\"",
            "\"aud\":[\"x *@*\"]",
        ),
        change(
            "a scope with an open quote",
            "parse/claim",
            "applied-permissions/user",
            "applied-permissions/groups:\\\"a",
        ),
        change(
            "a scope in a list",
            "parse/claim",
            "\"scp\":\"applied-permissions/user\"",
            "\"scp\":[\"applied-permissions/admin\"]",
        ),
        change(
            "an id that is a number",
            "parse/claim",
            "\"jti\":\"6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5b6c\"",
            "\"jti\":7",
        ),
    ]
}

fn extensions() -> Vec<Vector> {
    let ext = |name, expect, value: &str| {
        let payload = payload_with("{\"sub\"", &format!("{{\"ext\":{value},\"sub\""));
        Vector::new(name, expect, own(&payload))
    };
    vec![
        ext("an extension that is not JSON", "parse/claim", "\"revocable=true\""),
        ext("an extension that is an object, not a string", "parse/claim", "{\"revocable\":\"true\"}"),
        ext("a mark that is neither true nor false", "parse/claim", "\"{\\\"revocable\\\":1}\""),
        ext("a mark in other letters", "parse/claim", "\"{\\\"revocable\\\":\\\"TRUE\\\"}\""),
    ]
}

fn duplicates() -> Vec<Vector> {
    let again = |name, claim: &str| {
        let whole = payload(OWN);
        Vector::new(name, "parse/duplicate", own(&format!("{},{claim}}}", &whole[..whole.len() - 1])))
    };
    let header = own_header();
    let header_again = |name, parameter: &str| {
        let header = format!("{},{parameter}}}", &header[..header.len() - 1]);
        Vector::new(name, "parse/duplicate", signed(&header, payload(OWN).as_bytes(), &data::own_key()))
    };
    vec![
        again("two subjects", &format!("\"sub\":\"{OWN}/users/admin\"")),
        again("two subjects, one name escaped", &format!("\"\\u0073ub\":\"{OWN}/users/admin\"")),
        again("two equal subjects", &format!("\"sub\":\"{OWN}/users/alice\"")),
        again("two scopes", "\"scp\":\"applied-permissions/admin\""),
        again("two issuers", &format!("\"iss\":\"{MEMBER}\"")),
        again("two expiries", "\"exp\":9999999999"),
        again("two of an unknown claim", "\"x\":1,\"x\":2"),
        again(
            "two marks in the extension",
            "\"ext\":\"{\\\"revocable\\\":\\\"true\\\",\\\"revocable\\\":\\\"false\\\"}\"",
        ),
        header_again("two algorithms", "\"alg\":\"none\""),
        header_again("two key ids", "\"kid\":\"x\""),
    ]
}

fn time() -> Vec<Vector> {
    let token = || own(&payload(OWN));
    let change = |name, expect, from: &str, to: &str| Vector::new(name, expect, own(&payload_with(from, to)));
    let iat = |at: u64| format!("\"iat\":{at}");
    vec![
        Vector::new("the last second before expiry", "accepted", token()).at(NOW + 3599),
        Vector::new("the second of expiry", "expired", token()).at(NOW + 3600),
        Vector::new("long after expiry", "expired", token()).at(u64::MAX),
        change("an expiry of zero", "expired", &format!("{}", NOW + 3600), "0"),
        change(
            "expired and issued in the future",
            "expired",
            &format!("{},\"iat\":{NOW}", NOW + 3600),
            &format!("{},\"iat\":{}", NOW - 1, NOW + 999),
        ),
        change("issued as far ahead as clocks may differ", "accepted", &iat(NOW), &iat(NOW + 60)),
        change("issued further ahead", "not_yet_valid", &iat(NOW), &iat(NOW + 61)),
        change("issued at the end of time", "not_yet_valid", &iat(NOW), &iat(u64::MAX)),
        change(
            "not before a later time",
            "not_yet_valid",
            &iat(NOW),
            &format!("{},\"nbf\":{}", iat(NOW), NOW + 61),
        ),
        change(
            "an expiry at the end of time",
            "accepted",
            &format!("{}", NOW + 3600),
            "18446744073709551615",
        ),
        change("no expiry", "accepted", &format!("\"exp\":{},", NOW + 3600), ""),
    ]
}

fn audience() -> Vec<Vector> {
    let aud = |name, expect, value: &str| {
        Vector::new(name, expect, own(&payload_with("\"aud\":\"*@*\"", &format!("\"aud\":{value}"))))
    };
    let as_xray = |vector: Vector| Vector { verifier: "jfxr@01kd0000000000000000000ddd", ..vector };
    vec![
        aud("our own id", "accepted", &format!("\"{OWN}\"")),
        aud("our Access", "accepted", &format!("\"{}\"", OWN.replace("jfrt", "jfac"))),
        aud("our old kind", "accepted", "\"jf-artifactory@*\""),
        aud("among others", "accepted", "[\"jfxr@*\",\"jfmc@*\",\"jfac@*\",\"jfds@*\"]"),
        aud("another kind", "audience", "\"jfxr@*\""),
        aud("another service of our kind", "audience", "\"jfrt@01kb0000000000000000000bbb\""),
        aud("an id that begins like ours", "audience", &format!("\"{}\"", &OWN[..OWN.len() - 1])),
        aud("our unique part with another kind", "audience", &format!("\"{}\"", OWN.replace("jfrt", "jfxr"))),
        aud("nobody, in a list", "audience", "[]"),
        aud("nobody, in a string", "audience", "\"\""),
        aud("a URL", "audience", "\"https://example.org\""),
        aud("a star that is part of a word", "audience", "[\"jfrt@*x\",\"**\",\"@\",\"*@\",\"jf*@*\"]"),
        as_xray(aud("all authorities, asked of another product", "audience", "\"jfrt@* jfac@*\"")),
    ]
}

/// A subject of `issuer` in a token that `key` signs under `header`.
pub(crate) fn spoken(header: &str, issuer: &str, subject: &str, key: &circlet_token::SigningKey) -> String {
    let input = signing_input(header, payload_of(issuer, subject).as_bytes());
    format!("{input}.{}", encode(key.sign(input.as_bytes())))
}

/// The good token of the member with RSA.
pub(crate) fn member_token() -> String {
    forge::member(&payload(MEMBER))
}
