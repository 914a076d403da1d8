//! What must stay bounded when there are many.

use std::collections::BTreeSet;

use circlet_authority::{
    Action, Actor, FamilyId, Generation, IssueToken, Outcome, Purge, RefreshOverrides, RefreshToken,
    RevokeTarget, RevokeToken, Revoked, State, TokenFilter, TokenOrder,
    limits::{CASCADE_STEP_ENTRIES_MAX, FEED_WINDOW_ENTRIES_MAX},
};
use circlet_token::{Audience, Lifetime, Scope, Subject, TokenId, feed::FeedEntry};

use crate::house::{House, OURS, family_id, hash, name, service, token_id};

fn admin() -> Actor {
    Actor::User { name: name("admin") }
}

fn issue(house: &mut House, actor: Actor, id: TokenId, secs: u64) {
    issue_in(house, actor, id, secs, None);
}

fn issue_in(house: &mut House, actor: Actor, id: TokenId, secs: u64, family: Option<FamilyId>) {
    let issue = IssueToken {
        id,
        generation: Generation::Access,
        subject: Subject::user(&service(OURS), &name("admin")),
        scope: Scope::parse("applied-permissions/user").unwrap(),
        audience: Audience::any(),
        lifetime: Lifetime::from_secs(secs),
        force_revocable: false,
        description: None,
        reference: None,
        family,
        owner: Some(name("admin")),
        idempotency: None,
        request_digest: hash("request"),
    };
    let outcome = house.apply(actor, Action::IssueToken(Box::new(issue)));
    let Outcome::Issued(record) = outcome else { panic!("{outcome:?}") };
    if id == token_id("root") {
        house.hold("root", &record);
    }
}

fn numbered(number: usize) -> TokenId {
    TokenId(u128::try_from(number).unwrap().to_be_bytes())
}

fn revoke_root(house: &mut House) -> Revoked {
    let action = RevokeToken { target: RevokeTarget::Id(token_id("root")), cascade: true };
    match house.apply(admin(), Action::RevokeToken(Box::new(action))) {
        Outcome::Revoked(revoked) => *revoked,
        other => panic!("{other:?}"),
    }
}

fn with_descendants(count: usize) -> House {
    let mut house = House::new();
    issue(&mut house, admin(), token_id("root"), 0);
    for number in 0..count {
        let actor = house.held["root"].actor();
        issue(&mut house, actor, numbered(number), 0);
    }
    house
}

/// Through a snapshot in between, as if the cluster had been restarted.
#[test]
fn ending_thousands_of_descendants_takes_several_commands_and_misses_none() {
    let count = CASCADE_STEP_ENTRIES_MAX + 50;
    let mut house = with_descendants(count);
    let first = revoke_root(&mut house);
    assert!(!first.already && first.descendants.more);
    assert_eq!(usize::try_from(first.descendants.ended), Ok(CASCADE_STEP_ENTRIES_MAX));
    let mut bytes = Vec::new();
    house.state.encode_snapshot(&mut bytes).unwrap();
    house.state = State::decode_snapshot(&mut bytes.as_slice()).unwrap();
    let second = revoke_root(&mut house);
    assert!(second.already && !second.descendants.more);
    assert_eq!(second.descendants.ended, 50);
    assert_eq!(house.state.token_count(), 0);
    assert_eq!(house.state.revoked_count(), count + 1);
}

/// Whoever revoked may have gone away after the first step.
#[test]
fn what_a_revoke_has_left_to_do_is_done_by_and_by() {
    let mut house = with_descendants(CASCADE_STEP_ENTRIES_MAX + 50);
    assert!(revoke_root(&mut house).descendants.more);
    house.apply(Actor::System, Action::Purge(Purge::Mark));
    assert_eq!(house.state.token_count(), 0);
}

/// Its successor may stand before those that the revoke has looked at.
#[test]
fn a_descendant_that_is_refreshed_while_descendants_end_ends_as_well() {
    let mut house = with_descendants(0);
    for (number, family) in [(5, None), (9, Some(family_id("late")))] {
        let actor = house.held["root"].actor();
        issue_in(&mut house, actor, numbered(number), 0, family);
    }
    house.state = house.state.clone().with_cascade_step(1);
    assert!(revoke_root(&mut house).descendants.more);
    assert!(house.state.token(&numbered(9)).is_some(), "there is something left to end");
    let refresh = RefreshToken {
        family: family_id("late"),
        sequence: 1,
        access: Some(numbered(9)),
        request_digest: hash("refresh"),
        successor_id: numbered(2),
        reference: None,
        overrides: RefreshOverrides::default(),
    };
    let refreshed = house.apply(Actor::RefreshPair, Action::RefreshToken(Box::new(refresh)));
    assert!(matches!(refreshed, Outcome::Refreshed { .. }), "{refreshed:?}");
    assert!((0..5).any(|_| !revoke_root(&mut house).descendants.more));
    assert!(house.state.token(&numbered(2)).is_none());
    assert_eq!(house.state.token_count(), 0);
}

/// What can't be revoked lives on, and what is created with it meanwhile ends, over more than one generation.
#[test]
fn what_a_descendant_that_lives_on_creates_while_descendants_end_ends_as_well() {
    let mut house = with_descendants(0);
    for (number, family) in [(5, Some(family_id("lives on"))), (9, None)] {
        let actor = house.held["root"].actor();
        issue_in(&mut house, actor, numbered(number), 600, family);
    }
    house.state = house.state.clone().with_cascade_step(1);
    assert!(revoke_root(&mut house).descendants.more);
    let living = house.state.token(&numbered(5)).unwrap().as_ref().clone();
    house.hold("living", &living);
    for (number, creator) in [(2, "living"), (1, "late"), (3, "living")] {
        let actor = house.held[creator].actor();
        issue(&mut house, actor, numbered(number), if number == 2 { 600 } else { 0 });
        let record = house.state.token(&numbered(number)).unwrap().as_ref().clone();
        house.hold(if number == 2 { "late" } else { "last" }, &record);
    }
    assert!((0..9).any(|_| !revoke_root(&mut house).descendants.more));
    let left: Vec<bool> = (0..10).map(|number| house.state.token(&numbered(number)).is_some()).collect();
    assert_eq!(left, [false, false, true, false, false, true, false, false, false, true]);
}

/// What can't be revoked stays, and is met by each repeat that begins at the beginning.
#[test]
fn a_revoke_gets_on_though_what_was_created_with_the_token_lives_on() {
    let mut house = with_descendants(0);
    for number in 0..3 {
        let actor = house.held["root"].actor();
        issue(&mut house, actor, numbered(number), 600);
    }
    house.state = house.state.clone().with_cascade_step(1);
    assert!((0..5).any(|_| !revoke_root(&mut house).descendants.more));
    assert_eq!(house.state.token_count(), 3);
}

/// Page by page, forwards and backwards, in every order and with every filter, nothing is missed or comes twice.
#[test]
fn every_order_walks_through_all_pages() {
    let mut house = with_descendants(40);
    for number in 40..60 {
        issue(&mut house, admin(), numbered(number), 20_000 + u64::try_from(number % 7).unwrap());
    }
    let filters = [
        (TokenFilter::default(), 61),
        (TokenFilter { user: Some(name("admin")), ..TokenFilter::default() }, 61),
        (TokenFilter { parent: Some(token_id("root")), ..TokenFilter::default() }, 40),
    ];
    let orders =
        [TokenOrder::Created, TokenOrder::Id, TokenOrder::Owner, TokenOrder::Subject, TokenOrder::Expiry];
    for (filter, count) in &filters {
        for order in orders {
            let forwards = pages(&house.state, filter, order, false);
            let mut backwards = pages(&house.state, filter, order, true);
            backwards.reverse();
            assert_eq!(forwards, backwards, "{filter:?} {order:?}");
            assert_eq!(forwards.iter().collect::<BTreeSet<_>>().len(), *count, "{filter:?} {order:?}");
        }
    }
}

fn pages(state: &State, filter: &TokenFilter, order: TokenOrder, descending: bool) -> Vec<TokenId> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = state.tokens(filter, order, descending, cursor.as_ref(), 7);
        assert!(page.tokens.len() <= 7);
        ids.extend(page.tokens.iter().map(|record| record.id));
        cursor = page.next;
        if cursor.is_none() {
            return ids;
        }
    }
}

/// Whoever followed and was away for longer than the feed keeps its entries one by one is told so, and finds all in the list.
#[test]
fn a_feed_that_went_on_for_long_is_read_from_its_list() {
    let mut house = with_descendants(FEED_WINDOW_ENTRIES_MAX);
    let begun = house.state.feed_end();
    assert!(revoke_root(&mut house).descendants.more);
    let later = house.state.feed_end();
    assert!(house.state.feed_after(&begun).is_some(), "the window reaches back");
    assert!(!revoke_root(&mut house).descendants.more);
    assert!(house.state.feed_after(&begun).is_none(), "not any more");
    assert!(house.state.feed_after(&later).is_some());
    let (mut ids, mut cursor) = (BTreeSet::new(), Vec::new());
    loop {
        let page = house.state.feed_page(&cursor).expect("a cursor of ours");
        let entries = FeedEntry::read_all(&page.entries).expect("entries");
        let listed = entries.iter().filter(|entry| matches!(entry, FeedEntry::Listed { .. }));
        ids.extend(listed.map(FeedEntry::to_bytes));
        cursor = page.next;
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(ids.len(), house.state.revoked_count());
    assert!(ids.len() > FEED_WINDOW_ENTRIES_MAX);
}
