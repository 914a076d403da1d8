//! The exact bytes of a token.
use crate::data::{self, MEMBER_CERTIFICATE, NOW, OWN, OWN_CERTIFICATE, claims, kid};
use crate::forge;
use circlet_token::{Audience, Claims, Scope, Subject, limits, mint};

fn parts(token: &str) -> (String, String) {
    let mut parts = token.split('.').map(|part| String::from_utf8_lossy(&forge::decode(part)).into_owned());
    (parts.next().unwrap(), parts.next().unwrap())
}

#[test]
fn header_and_claims_come_in_the_contracts_order() {
    let mut full = claims();
    full.revocable = Some(true);
    full.audience = Audience::parse("jfrt@* jfxr@*").unwrap();
    let (header, payload) = parts(&mint(&full, &kid(OWN_CERTIFICATE), &data::own_key()));
    assert_eq!(
        header,
        format!(r#"{{"ver":"2","typ":"JWT","alg":"EdDSA","kid":"{}"}}"#, kid(OWN_CERTIFICATE))
    );
    assert_eq!(
        payload,
        format!(
            r#"{{"ext":"{{\"revocable\":\"true\"}}","sub":"{OWN}/users/alice","scp":"applied-permissions/user","aud":["jfrt@*","jfxr@*"],"iss":"{OWN}","exp":{},"iat":{NOW},"jti":"6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5b6c","idx":42}}"#,
            NOW + 3600
        )
    );
}

#[test]
fn what_is_absent_is_left_out() {
    let bare = Claims { revocable: Some(false), expires_at: None, id: None, index: None, ..claims() };
    let (_, payload) = parts(&mint(&bare, &kid(OWN_CERTIFICATE), &data::own_key()));
    assert_eq!(
        payload,
        format!(
            r#"{{"sub":"{OWN}/users/alice","scp":"applied-permissions/user","aud":"*@*","iss":"{OWN}","iat":{NOW}}}"#
        )
    );
}

#[test]
fn the_same_claims_give_the_same_token() {
    for (key, certificate, algorithm) in
        [(data::own_key(), OWN_CERTIFICATE, "EdDSA"), (data::member_key(), MEMBER_CERTIFICATE, "RS256")]
    {
        let token = mint(&claims(), &kid(certificate), &key);
        assert_eq!(token, mint(&claims(), &kid(certificate), &key));
        assert!(parts(&token).0.contains(&format!("\"alg\":\"{algorithm}\"")));
    }
    // The bytes of a minted token are a promise: a refresh is repeated by minting again, perhaps by a newer version.
    let token = mint(&claims(), &kid(OWN_CERTIFICATE), &data::own_key());
    assert_eq!(token, forge::own(&forge::payload(OWN)));
}

#[test]
fn characters_that_break_standard_base64_are_escaped() {
    let mut awkward = claims();
    awkward.subject = Subject::parse(&format!("{OWN}/users/a?b>c~é🦀")).unwrap();
    let token = mint(&awkward, &kid(OWN_CERTIFICATE), &data::own_key());
    let (_, payload) = parts(&token);
    assert!(payload.contains(r"/users/a\u003fb\u003ec\u007e\u00e9\ud83e\udd80"), "{payload}");
    assert!(payload.is_ascii());
}

#[test]
fn the_largest_claims_stay_below_the_largest_token() {
    let largest = Claims {
        revocable: Some(true),
        subject: Subject::parse(&format!("{}@{}/users/{}", "k".repeat(32), "u".repeat(64), "🦀".repeat(255)))
            .unwrap(),
        scope: Scope::parse(&format!("member-of-groups:{}", "g".repeat(limits::SCOPE_JSON_BYTES_MAX - 17)))
            .unwrap(),
        audience: Audience::parse(&format!("jfrt@{}", "u".repeat(64)).repeat(1)).unwrap(),
        issuer: circlet_token::ServiceId::parse(&format!("{}@{}", "k".repeat(32), "u".repeat(64))).unwrap(),
        expires_at: Some(u64::MAX),
        issued_at: u64::MAX,
        index: Some(u64::MAX),
        ..claims()
    };
    let token = mint(&largest, &kid(MEMBER_CERTIFICATE), &data::member_key());
    // An RSA key of 4096 bits signs 256 bytes more, and the longest audience has 255 characters.
    let spare = (256 + limits::AUDIENCE_CHARS_MAX + limits::AUDIENCE_ENTRIES_MAX * 2).div_ceil(3) * 4;
    assert!(token.len() + spare < limits::TOKEN_BYTES_MAX, "{}", token.len());
    assert!(circlet_token::Parsed::parse(&token).is_ok());
}
