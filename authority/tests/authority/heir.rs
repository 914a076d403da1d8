//! The heir of another installation: what it honours of the tokens that were issued with the key before.

use circlet_authority::{
    Action, Actor, ImportTokens, Imported, ImportedToken, Judgement, KeyOrigin, Outcome, PresentedToken,
    Refusal, RevokeTarget, RevokeToken, RotateKey, State, TokenFilter, TokenOrder, invariant,
    limits::IMPORT_ENTRIES_MAX,
};
use circlet_token::{Audience, Claims, Lifetime, Scope, Subject};

use crate::house::{House, OURS, OURS_AS_ACCESS, THEIRS, bootstrap, kid, name, new_key, service, token_id};

fn admin() -> Actor {
    Actor::User { name: name("admin") }
}

/// A cluster founded with a key that had signed before.
fn heir() -> House {
    let mut house = House::empty();
    let mut first = bootstrap();
    first.origin = KeyOrigin::Adopted;
    house.apply(Actor::System, Action::Bootstrap(Box::new(first)));
    house
}

/// A token of the installation before: it carries neither a log index nor what it says of itself.
fn old(house: &mut House, label: &str, from: &str, secs: u64) {
    let issued_at = house.now_secs() - 100;
    let claims = Claims {
        revocable: None,
        subject: Subject::user(&service(from), &name("alice")),
        scope: Scope::parse("applied-permissions/groups:g").unwrap(),
        audience: Audience::any(),
        issuer: service(from),
        expires_at: Lifetime::from_secs(secs).expires_at(issued_at),
        issued_at,
        not_before: None,
        id: Some(token_id(label)),
        index: None,
    };
    house.hold_foreign(label, claims, kid("k1"));
}

fn listed(house: &House, label: &str) -> ImportedToken {
    let claims = &house.held[label].verified.claims;
    ImportedToken {
        id: token_id(label),
        subject: claims.subject.clone(),
        scope: Scope::parse("api:*").unwrap(),
        issued_at: claims.issued_at,
        expires_at: claims.expires_at,
        description: None,
    }
}

fn import(house: &mut House, tokens: Vec<ImportedToken>) -> Outcome {
    let action = ImportTokens { kid: kid("k1"), tokens };
    house.apply(admin(), Action::ImportTokens(Box::new(action)))
}

fn is_good(house: &House, label: &str) -> bool {
    matches!(house.state.judge(&house.held[label].verified, house.now_secs()), Judgement::Good { .. })
}

fn revoke(house: &mut House, label: &str) -> Outcome {
    let action = RevokeToken { target: RevokeTarget::Id(token_id(label)), cascade: false };
    house.apply(admin(), Action::RevokeToken(Box::new(action)))
}

#[test]
fn revocable_tokens_of_before_are_honoured_only_if_they_are_on_the_list() {
    let mut house = heir();
    old(&mut house, "short", OURS, 3_600);
    old(&mut house, "listed", OURS, 0);
    old(&mut house, "as access", OURS_AS_ACCESS, 0);
    old(&mut house, "forgotten", OURS, 0);
    assert!(is_good(&house, "short"), "what could not be revoked was not");
    assert!(!is_good(&house, "listed"));
    let list = vec![listed(&house, "listed"), listed(&house, "as access"), listed(&house, "short")];
    let outcome = import(&mut house, list.clone());
    assert_eq!(outcome, Outcome::Imported(Imported { recorded: 3, ..Imported::default() }));
    assert!(is_good(&house, "listed") && is_good(&house, "as access") && is_good(&house, "short"));
    assert!(!is_good(&house, "forgotten"));
    // Another life of the same id is another token.
    let mut forged = listed(&house, "listed");
    forged.expires_at = Some(house.now_secs() + 9_999);
    house.held.get_mut("listed").unwrap().verified.claims.expires_at = forged.expires_at;
    assert!(house.state.is_revocable(&house.held["as access"].verified));
    // The list can be imported again, and brings nothing back that was revoked here.
    assert!(matches!(revoke(&mut house, "as access"), Outcome::Revoked(_)));
    assert!(matches!(revoke(&mut house, "short"), Outcome::Refused(_)), "not revocable");
    let again = import(&mut house, list);
    assert_eq!(again, Outcome::Imported(Imported { known: 2, revoked: 1, ..Imported::default() }));
    assert!(!is_good(&house, "as access"));
    let page = house.state.tokens(&TokenFilter::default(), TokenOrder::Created, false, None, 10);
    assert_eq!(page.tokens.len(), 2);
    assert_eq!(invariant::check(&house.state), []);
    let mut bytes = Vec::new();
    house.state.encode_snapshot(&mut bytes).unwrap();
    assert_eq!(State::decode_snapshot(&mut bytes.as_slice()).unwrap().digest(), house.state.digest());
}

/// A list does not say which short tokens were made revocable; whoever holds the token does.
#[test]
fn a_short_token_that_says_it_is_revocable_is_on_the_list_and_can_be_revoked_by_its_value() {
    let mut house = heir();
    old(&mut house, "forced", OURS, 3_600);
    house.held.get_mut("forced").unwrap().verified.claims.revocable = Some(true);
    assert!(!is_good(&house, "forced"));
    let list = vec![listed(&house, "forced")];
    import(&mut house, list);
    assert!(is_good(&house, "forced"));
    let (claims, key) = (house.held["forced"].verified.claims.clone(), kid("k1"));
    let target = RevokeTarget::Value(Box::new(PresentedToken {
        id: token_id("forced"),
        subject: claims.subject,
        key,
        issued_at: claims.issued_at,
        expires_at: claims.expires_at,
        revocable: claims.revocable,
        index: claims.index,
    }));
    let action = RevokeToken { target, cascade: false };
    let outcome = house.apply(admin(), Action::RevokeToken(Box::new(action)));
    assert!(matches!(outcome, Outcome::Revoked(_)), "{outcome:?}");
    assert!(!is_good(&house, "forced"));
}

#[test]
fn what_is_over_or_speaks_for_others_is_left_out() {
    let mut house = heir();
    old(&mut house, "over", OURS, 50);
    old(&mut house, "theirs", THEIRS, 0);
    let list = vec![listed(&house, "over"), listed(&house, "theirs")];
    let outcome = import(&mut house, list);
    assert_eq!(outcome, Outcome::Imported(Imported { expired: 1, foreign: 1, ..Imported::default() }));
    let many = vec![listed(&house, "over"); IMPORT_ENTRIES_MAX + 1];
    assert!(matches!(import(&mut house, many), Outcome::Refused(_)));
}

#[test]
fn an_adopted_key_that_does_not_sign_yet_is_not_given_up_while_tokens_of_it_are_recorded() {
    let mut house = House::new();
    let turn = |house: &mut House, rotate| house.apply(admin(), Action::RotateKey(Box::new(rotate)));
    let key = Box::new(new_key("k2", "k2", KeyOrigin::Adopted));
    let published = turn(&mut house, RotateKey::Publish { key, replaces: kid("k1"), overlap_secs: None });
    assert_eq!(published, Outcome::Done);
    old(&mut house, "listed", OURS, 0);
    let tokens = vec![listed(&house, "listed")];
    let import = Action::ImportTokens(Box::new(ImportTokens { kid: kid("k2"), tokens }));
    assert!(matches!(house.apply(admin(), import), Outcome::Imported(Imported { recorded: 1, .. })));
    let Outcome::Refused(refusal) = turn(&mut house, RotateKey::Cancel { kid: kid("k2") }) else {
        panic!("the token needs its key")
    };
    assert!(matches!(*refusal, Refusal::KeyNeeded { .. }), "{refusal}");
    assert_eq!(invariant::check(&house.state), []);
    revoke(&mut house, "listed");
    assert_eq!(turn(&mut house, RotateKey::Cancel { kid: kid("k2") }), Outcome::Done);
}

#[test]
fn a_key_that_was_made_here_has_nothing_to_import() {
    let mut house = House::new();
    old(&mut house, "listed", OURS, 0);
    let list = vec![listed(&house, "listed")];
    assert!(matches!(import(&mut house, list), Outcome::Refused(_)));
    assert!(!is_good(&house, "listed"));
}
