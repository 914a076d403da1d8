//! A cluster of a circle that begins its next generation, as a member knows it that has paired with it anew.

use circlet_authority::{Action, Actor, ApproveMember, Approved, Judgement, Outcome, Picture, Purge, State};
use circlet_token::{
    Algorithm, Audience, Claims, Revocation, Scope, Subject, TokenId, Verified, feed::FeedEntry,
};

use crate::feed::{approved, circle_key, follow};
use crate::feed_keys::{activate, paired, publish};
use crate::house::{House, THEIRS, kid, name, service};
use crate::next_generation::next;

/// A token of the issuer that can be revoked, for ever or for a while.
fn token(label: &str, index: u64, issued_at: u64, revocable: bool) -> Verified {
    let claims = Claims {
        revocable: Some(revocable),
        subject: Subject::user(&service(THEIRS), &name("ci")),
        scope: Scope::parse("applied-permissions/user").unwrap(),
        audience: Audience::any(),
        issuer: service(THEIRS),
        expires_at: Some(issued_at + 100_000),
        issued_at,
        not_before: None,
        id: Some(TokenId([7; 16])),
        index: Some(index),
    };
    Verified { claims, key: kid(label), algorithm: Algorithm::EdDsa }
}

fn pair_anew(follower: &mut House, issuer: &State) {
    let approved = Approved { circle_key: circle_key(9).spki_der(), ..approved() };
    let approve = ApproveMember { approved, invite: None, mutual: true };
    assert_eq!(follower.apply(Actor::Operator, Action::ApproveMember(Box::new(approve))), Outcome::Done);
    follow(follower, issuer);
}

fn judge(follower: &House, token: &Verified) -> Judgement {
    follower.state.judge(token, follower.now_secs())
}

/// The next key came after the backup: the cluster that begins knows nothing of it, and the member does.
#[test]
fn a_key_that_the_backup_does_not_know_brings_no_token_back_abroad() {
    let (mut issuer, mut follower) = paired();
    let backup = issuer.state.archived();
    publish(&mut issuer, "late");
    assert_eq!(activate(&mut issuer, "late"), Outcome::Done);
    follow(&mut follower, &issuer.state);
    let (index, now) = (issuer.state.index(), issuer.now_secs());
    let before =
        [token("late", index, now, true), token("late", index, now, false), token("first", 1, now, true)];
    for token in &before {
        assert!(matches!(judge(&follower, token), Judgement::Good { .. }), "{token:?}");
    }
    // Whether it was revoked in the last moments nobody knows.
    let restored = backup.next_generation(&next("fresh", THEIRS, issuer.now_ms)).unwrap();
    pair_anew(&mut follower, &restored);
    for token in &before {
        assert!(!matches!(judge(&follower, token), Judgement::Good { .. }), "{token:?}");
    }
    assert_eq!(judge(&follower, &before[0]), Judgement::Revoked(Revocation::Watermark));
    let fresh = token("fresh", restored.index(), now, true);
    assert!(matches!(judge(&follower, &fresh), Judgement::Good { .. }), "what the new one issues is good");
}

/// Nobody knows how long a token of a lost key lives.
#[test]
fn that_a_generation_has_ended_is_told_for_ever() {
    let (issuer, _) = paired();
    let anew = |state: &State| state.next_generation(&next("fresh", THEIRS, issuer.now_ms)).unwrap();
    let marks = |state: &State| {
        let told = state.revoked_entries().filter(|entry| matches!(entry, FeedEntry::Mark { .. }));
        told.collect::<Vec<_>>()
    };
    let mut restored = House { state: anew(&issuer.state.archived()), ..House::empty() };
    let begun = marks(&restored.state);
    assert_eq!(begun.len(), 1);
    restored.now_ms = issuer.now_ms + 1_000_000_000_000;
    let Outcome::Marked { mark, .. } = restored.apply(Actor::System, Action::Purge(Purge::Mark)) else {
        panic!()
    };
    restored.apply(Actor::System, Action::Purge(Purge::Remove { mark, elapsed_ms: 3_600_000 }));
    assert_eq!(marks(&restored.state), begun);
}

/// As it is where the cluster itself is asked.
#[test]
fn on_a_floor_what_was_issued_before_lives_on_abroad_and_what_a_node_of_before_issues_later_does_not() {
    let (issuer, mut follower) = paired();
    let (index, second) = (issuer.state.index(), issuer.now_secs());
    let floor = Picture::of(&issuer.state);
    let next = next("fresh", THEIRS, issuer.now_ms);
    let restored = issuer.state.archived().next_generation_on(&next, &floor).unwrap();
    pair_anew(&mut follower, &restored);
    let good = |token: &Verified| matches!(judge(&follower, token), Judgement::Good { .. });
    assert!(good(&token("first", index, second, true)));
    let by_a_ghost = token("first", index, second + 1, true);
    assert_eq!(judge(&follower, &by_a_ghost), Judgement::Revoked(Revocation::Watermark));
    assert!(good(&token("fresh", restored.index(), second + 1, true)));
}
