//! What holds for any token.
use crate::data::{self, NOW, OWN, OWN_CERTIFICATE, kid, own, own_key};
use circlet_token::{
    Audience, Check, Claims, KeySet, Parsed, Scope, SigningKey, Subject, TokenId, UserName, mint,
    read_certificate, verify,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;
use std::sync::LazyLock;

fn user_names() -> impl Strategy<Value = UserName> {
    let any = vec(any::<char>().prop_filter("allowed", |c| !c.is_control() && *c != ':'), 1..60);
    let awkward = "[>?~/|\"\\\\aé🦀 ]{1,60}";
    prop_oneof![any.prop_map(|chars| chars.into_iter().collect::<String>()), awkward]
        .prop_map(|name| UserName::parse(&format!("u{name}u")).unwrap())
}

fn scopes() -> impl Strategy<Value = Scope> {
    let groups = "[a-zé~?>.🦀-]{1,20}";
    let item = prop_oneof![
        Just("api:*".to_owned()),
        Just("applied-permissions/user".to_owned()),
        Just("applied-permissions/admin".to_owned()),
        Just("member-of-groups:*".to_owned()),
        Just("system:metrics:r".to_owned()),
        Just(format!("{OWN}:admin")),
        vec(groups, 1..4).prop_map(|names| format!("applied-permissions/groups:\"{}\"", names.join(","))),
        vec(groups, 1..4).prop_map(|names| format!("member-of-groups:{}", names.join(","))),
    ];
    vec(item, 1..5).prop_map(|items| Scope::parse(&items.join(" ")).unwrap())
}

fn audiences() -> impl Strategy<Value = Audience> {
    let others = vec(prop_oneof![Just("jfxr@*"), Just("jfmc@01h2"), Just("*@*")], 0..4);
    (others, prop_oneof![Just("jfrt@*"), Just("*@*"), Just(OWN), Just("jfac@*")])
        .prop_map(|(others, us)| Audience::parse(&[others, vec![us]].concat().join(" ")).unwrap())
}

prop_compose! {
    fn any_claims()(
        revocable in prop_oneof![Just(None), Just(Some(true))],
        name in user_names(),
        scope in scopes(),
        audience in audiences(),
        expires_at in option::of(NOW + 1..=u64::MAX),
        issued_at in 0..=NOW + 60,
        id in option::of(any::<[u8; 16]>()),
        index in option::of(any::<u64>()),
    ) -> Claims {
        let subject = Subject::user(&own(), &name);
        let id = id.map(TokenId);
        Claims { revocable, subject, scope, audience, issuer: own(), expires_at, issued_at, not_before: None, id, index }
    }
}

fn accepted(token: &str) -> bool {
    static TRUSTED: LazyLock<KeySet> = LazyLock::new(data::trusted);
    verify(token, &TRUSTED, &Check::new(NOW, &own())).is_ok()
}

/// Any JSON, with a liking for what claims are made of.
fn json() -> impl Strategy<Value = Value> {
    let word =
        prop_oneof![any::<String>(), Just(OWN.to_owned()), Just("*@*".to_owned()), Just("{}".to_owned())];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(Value::from_iter),
        ]
    })
}

fn flip(token: &str, bit: usize) -> Option<String> {
    let mut bytes = token.as_bytes().to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    String::from_utf8(bytes).ok()
}

proptest! {
    #[test]
    fn what_is_minted_is_verified_and_reads_the_same(claims in any_claims()) {
        let token = mint(&claims, &kid(OWN_CERTIFICATE), &own_key());
        let verified = verify(&token, &data::trusted(), &Check::new(NOW, &own())).unwrap();
        prop_assert_eq!(verified.claims, claims);
        prop_assert_eq!(verified.key, kid(OWN_CERTIFICATE));
    }

    #[test]
    fn a_payload_reads_the_same_in_either_base64_alphabet(claims in any_claims()) {
        let token = mint(&claims, &kid(OWN_CERTIFICATE), &own_key());
        let payload = token.split('.').nth(1).unwrap();
        prop_assert!(!payload.contains(['-', '_']), "{}", payload);
    }

    #[test]
    fn a_flipped_bit_is_rejected(claims in any_claims(), bit: prop::sample::Index) {
        let token = mint(&claims, &kid(OWN_CERTIFICATE), &own_key());
        prop_assert!(!flip(&token, bit.index(token.len() * 8)).is_some_and(|token| accepted(&token)));
    }

    #[test]
    fn a_changed_byte_is_rejected(claims in any_claims(), at: prop::sample::Index, to in "[A-Za-z0-9_.=-]") {
        let token = mint(&claims, &kid(OWN_CERTIFICATE), &own_key());
        let at = at.index(token.len());
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assert!(changed == token || !accepted(&changed));
    }

    #[test]
    fn a_strangers_signature_is_rejected(claims in any_claims(), seed: [u8; 32]) {
        let token = mint(&claims, &kid(OWN_CERTIFICATE), &SigningKey::from_ed25519_seed(&seed));
        prop_assert!(!accepted(&token));
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), token in "[A-Za-z0-9_=.-]{0,200}") {
        let _ = (Parsed::parse(&text).is_ok(), Parsed::parse(&token).is_ok());
        let _ = (Scope::parse(&text).is_ok(), Scope::read(&text).is_ok(), Audience::parse(&text).is_ok());
        let _ = (Subject::parse(&text).is_ok(), UserName::parse(&text).is_ok(), TokenId::parse(&text).is_ok());
        let _ = (SigningKey::from_pem(&text).is_ok(), read_certificate(text.as_bytes()).is_ok());
        prop_assert!(!accepted(&text) && !accepted(&token));
    }

    #[test]
    fn arbitrary_bytes_in_the_parts_never_panic(header: Vec<u8>, payload: Vec<u8>, signature: Vec<u8>) {
        use crate::forge::encode;
        let token = [encode(header), encode(&payload), encode(signature)].join(".");
        prop_assert!(!accepted(&token));
        let signed = crate::forge::signed(&crate::forge::own_header(), &payload, &own_key());
        prop_assert!(!accepted(&signed));
    }

    /// The signature is good and the rest is too: then what is accepted still says what it seems to say.
    #[test]
    fn an_arbitrary_signed_claim_never_panics(
        name in prop_oneof![
            Just("ext"), Just("sub"), Just("scp"), Just("aud"), Just("iss"), Just("exp"), Just("iat"), Just("nbf"),
            Just("jti"), Just("idx"), Just("x"),
        ],
        value in json(),
    ) {
        let mut payload: Value = serde_json::from_str(&crate::forge::payload(OWN)).unwrap();
        payload[name] = value.clone();
        let token = crate::forge::own(&payload.to_string());
        if let Ok(verified) = verify(&token, &data::trusted(), &Check::new(NOW, &own())) {
            let claims = verified.claims;
            prop_assert!(claims.issuer.same_service(&own()) && claims.subject.service().same_service(&own()));
            prop_assert!(claims.expires_at.is_none_or(|at| at > NOW) && claims.audience.accepts(&own()));
            prop_assert!(name != "exp" || claims.expires_at == value.as_u64());
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_key(bytes: Vec<u8>) {
        prop_assert!(read_certificate(&bytes).is_err());
        prop_assert!(SigningKey::from_pkcs8_der(&bytes).is_err());
    }

    #[test]
    fn a_scope_reads_back_as_it_is_written(scope in scopes()) {
        let (parsed, read) = (Scope::parse(scope.as_str()).unwrap(), Scope::read(scope.as_str()).unwrap());
        prop_assert_eq!(parsed.items(), scope.items());
        prop_assert_eq!(read.items(), scope.items());
    }
}

#[test]
fn every_single_flipped_bit_of_one_token_is_rejected() {
    for token in [crate::forge::own(&crate::forge::payload(OWN)), crate::themes::member_token()] {
        assert!(accepted(&token));
        for bit in 0..token.len() * 8 {
            assert!(!flip(&token, bit).is_some_and(|token| accepted(&token)), "bit {bit}");
        }
    }
}
