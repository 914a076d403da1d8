//! The whole way of a token with real keys: decided here, signed outside, verified with the view's key set, judged.

use circlet_authority::{
    Action, Actor, Bootstrap, Generation, IssueToken, Judgement, KeyOrigin, NewKey, Outcome, PresentedToken,
    RevokeTarget, RevokeToken, RotateKey, TokenRecord, TrustIssuer,
};
use circlet_token::{
    Algorithm, Audience, AudienceRule, Check, Claims, ExpiryRule, KeyId, Lifetime, Reject, Scope, SigningKey,
    Subject, Verified, mint, verify,
};

use crate::house::{House, OURS, THEIRS, bootstrap, kid, name, new_key, service, token_id};

fn key(number: u8) -> SigningKey {
    SigningKey::from_ed25519_seed(&[number; 32])
}

fn house() -> House {
    let mut house = House::empty();
    let first = Bootstrap { spki_der: key(1).spki_der(), ..bootstrap() };
    assert_eq!(house.apply(Actor::System, Action::Bootstrap(Box::new(first))), Outcome::Done);
    house
}

fn admin() -> Actor {
    Actor::User { name: name("admin") }
}

fn issue(house: &mut House, label: &str) -> TokenRecord {
    let issue = IssueToken {
        id: token_id(label),
        generation: Generation::Access,
        subject: Subject::user(&service(OURS), &name("admin")),
        scope: Scope::parse("applied-permissions/user").unwrap(),
        audience: Audience::any(),
        lifetime: Lifetime::FOREVER,
        force_revocable: false,
        description: None,
        reference: None,
        family: None,
        owner: Some(name("admin")),
        idempotency: None,
        request_digest: [0; 32],
    };
    match house.apply(admin(), Action::IssueToken(Box::new(issue))) {
        Outcome::Issued(record) => *record,
        other => panic!("{other:?}"),
    }
}

fn check(house: &House, token: &str) -> Result<Verified, Reject> {
    let check = Check {
        now: house.now_secs(),
        leeway: 60,
        audience: house.state.service_id().unwrap(),
        expiry: ExpiryRule::Enforce,
        audience_rule: AudienceRule::Enforce,
    };
    verify(token, house.state.key_set(), &check)
}

fn publish(house: &mut House, label: &str, key: &SigningKey) {
    let new = NewKey {
        algorithm: key.algorithm(),
        spki_der: key.spki_der(),
        ..new_key(label, label, KeyOrigin::Made)
    };
    let publish = RotateKey::Publish { key: Box::new(new), replaces: kid("k1"), overlap_secs: None };
    assert_eq!(house.apply(admin(), Action::RotateKey(Box::new(publish))), Outcome::Done);
}

#[test]
fn a_token_is_good_until_it_is_revoked() {
    let mut house = house();
    let record = issue(&mut house, "t");
    let token = mint(&record.claims(&service(OURS)), &record.kid, &key(1));
    let verified = check(&house, &token).unwrap();
    assert_eq!(verified.claims, record.claims(&service(OURS)));
    let good = Judgement::Good { needs_freshness: true, revocable: true, feed: None };
    assert_eq!(house.state.judge(&verified, house.now_secs()), good);
    assert!(house.state.rights_of(&verified).admin);

    // A view is a value: one that was published before stays as it was.
    let before = house.state.clone();
    let claims = &verified.claims;
    let target = RevokeTarget::Value(Box::new(PresentedToken {
        id: claims.id.unwrap(),
        subject: claims.subject.clone(),
        key: verified.key.clone(),
        issued_at: claims.issued_at,
        expires_at: claims.expires_at,
        revocable: claims.revocable,
        index: claims.index,
    }));
    house.apply(admin(), Action::RevokeToken(Box::new(RevokeToken { target, cascade: false })));
    assert!(matches!(house.state.judge(&verified, house.now_secs()), Judgement::Revoked(_)));
    assert_eq!(before.judge(&verified, house.now_secs()), good);
}

#[test]
fn the_next_key_verifies_before_it_signs_and_the_last_one_after() {
    let mut house = house();
    let old = issue(&mut house, "old");
    let old = mint(&old.claims(&service(OURS)), &old.kid, &key(1));
    publish(&mut house, "k2", &key(2));
    assert_eq!(house.state.key_set().len(), 2);
    assert!(house.state.may_sign(&kid("k1")) && !house.state.may_sign(&kid("k2")));
    let activate = RotateKey::Activate { kid: kid("k2"), replaces: kid("k1") };
    house.apply(admin(), Action::RotateKey(Box::new(activate)));
    let new = issue(&mut house, "new");
    assert_eq!(new.kid, kid("k2"));
    let new = mint(&new.claims(&service(OURS)), &new.kid, &key(2));
    assert!(check(&house, &old).is_ok() && check(&house, &new).is_ok());
    assert!(house.state.may_sign(&kid("k1")), "a request that is repeated gets the same bytes");
    house.apply(admin(), Action::RotateKey(Box::new(RotateKey::Taint { kid: kid("k1"), next: None })));
    let verified = check(&house, &old).unwrap();
    assert!(matches!(house.state.judge(&verified, house.now_secs()), Judgement::Revoked(_)));
    assert!(
        !house.state.may_sign(&kid("k1")),
        "a key that leaked signs nothing, not even what it signed before"
    );
    assert!(house.state.may_sign(&kid("k2")));
}

#[test]
fn a_key_of_the_circle_speaks_for_its_own_issuer_only() {
    let mut house = house();
    let their_kid = KeyId::of_certificate(b"theirs");
    let trust = TrustIssuer {
        kid: their_kid.clone(),
        algorithm: Algorithm::EdDsa,
        spki_der: key(3).spki_der(),
        certificate_der: Vec::new(),
        issuer: service(THEIRS),
        common_name: THEIRS.to_owned(),
        not_after: String::new(),
        limits: circlet_authority::IssuerLimits::default(),
        file_name: String::new(),
    };
    assert_eq!(house.apply(admin(), Action::TrustIssuer(Box::new(trust))), Outcome::Done);
    let claims = |issuer: &str| Claims {
        revocable: None,
        subject: Subject::user(&service(issuer), &name("admin")),
        scope: Scope::parse("applied-permissions/admin").unwrap(),
        audience: Audience::any(),
        issuer: service(issuer),
        expires_at: Some(house.now_secs() + 60),
        issued_at: house.now_secs(),
        not_before: None,
        id: Some(token_id("f")),
        index: None,
    };
    let verified = check(&house, &mint(&claims(THEIRS), &their_kid, &key(3))).unwrap();
    let judged = house.state.judge(&verified, house.now_secs());
    assert_eq!(judged, Judgement::Good { needs_freshness: false, revocable: false, feed: None });
    let rights = house.state.rights_of(&verified);
    assert!(rights.foreign && !rights.admin && rights.user.is_none());
    assert!(check(&house, &mint(&claims(OURS), &their_kid, &key(3))).is_err());
    assert!(check(&house, &mint(&claims(THEIRS), &kid("k1"), &key(1))).is_err());
}
