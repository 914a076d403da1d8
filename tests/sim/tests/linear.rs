//! The judge of histories: what it must accept, and what it must not.

use circlet_authority::FamilyId;
use circlet_sim::linear::token::Step::{
    Dead, End, Gone, Issue, Live, MaybeEnd, MaybeUse, Repeat, Use, UsedUp,
};
use circlet_sim::linear::{Object, Operation, Step, check, group, token, value, version};
use circlet_token::TokenId;

const FIRST: TokenId = TokenId([1; 16]);
const SECOND: TokenId = TokenId([2; 16]);
const OTHER: TokenId = TokenId([3; 16]);
const SUBJECT: u64 = 7;

/// A step of one family, asked for and answered then; never answered if the answer is zero.
fn of_family(step: token::Step, sent: u64, answered: u64) -> Operation {
    let object = Object::Family(FamilyId([9; 16]));
    Operation { object, step: Step::Token(step), sent, answered: (answered > 0).then_some(answered) }
}

fn issued() -> Operation {
    of_family(Issue { id: FIRST, subject: SUBJECT }, 10, 20)
}

const fn first_use(successor: TokenId) -> token::Step {
    Use { sequence: 1, digest: 5, successor }
}

const fn repeated(successor: TokenId) -> token::Step {
    Repeat { sequence: 1, digest: 5, successor, own: OTHER }
}

fn holds(operations: &[Operation]) -> bool {
    check(operations).is_ok()
}

#[test]
fn a_family_that_lives_and_ends_has_an_order() {
    assert!(holds(&[
        issued(),
        of_family(Live { id: FIRST }, 30, 40),
        of_family(first_use(SECOND), 50, 90),
        of_family(repeated(SECOND), 60, 100),
        of_family(UsedUp { sequence: 1 }, 110, 120),
        of_family(End, 130, 180),
        of_family(Live { id: SECOND }, 140, 150),
        of_family(Dead { id: SECOND }, 135, 160),
        of_family(Gone, 190, 200),
    ]));
}

#[test]
fn a_token_is_not_good_again_after_it_was_seen_revoked() {
    // Each of both reads is within the revoke, and either alone is right.
    let ends = of_family(End, 30, 100);
    let (dead, live) = (of_family(Dead { id: FIRST }, 40, 50), of_family(Live { id: FIRST }, 60, 70));
    assert!(holds(&[issued(), ends.clone(), dead.clone()]));
    assert!(holds(&[issued(), ends.clone(), live.clone()]));
    assert!(!holds(&[issued(), ends, dead, live]));
}

#[test]
fn a_refresh_token_is_used_once() {
    let (one, other) = (of_family(first_use(SECOND), 30, 60), of_family(first_use(OTHER), 40, 70));
    assert!(!holds(&[issued(), one, other]));
}

#[test]
fn a_use_that_is_called_the_second_had_a_first() {
    assert!(!holds(&[issued(), of_family(UsedUp { sequence: 1 }, 30, 40)]));
    let unanswered = of_family(MaybeUse { sequence: 1, digest: 5, successor: SECOND }, 25, 0);
    assert!(holds(&[issued(), unanswered.clone(), of_family(UsedUp { sequence: 1 }, 30, 40)]));
    let another = Repeat { sequence: 1, digest: 5, successor: TokenId([4; 16]), own: OTHER };
    assert!(
        !holds(&[issued(), unanswered, of_family(another, 30, 40)]),
        "it gave another token than the use"
    );
}

#[test]
fn a_node_that_asks_twice_for_a_first_use_is_told_of_a_repeat() {
    assert!(holds(&[issued(), of_family(repeated(OTHER), 30, 40), of_family(Live { id: OTHER }, 50, 60)]));
    assert!(!holds(&[issued(), of_family(repeated(SECOND), 30, 40)]), "nobody was given it before");
}

#[test]
fn who_does_not_know_whether_it_was_the_first_use_is_believed_either() {
    let told = |successor, next| token::Step::UseOrRepeat { sequence: 1, digest: 5, successor, next };
    let first = of_family(told(SECOND, 2), 30, 40);
    assert!(holds(&[issued(), first.clone(), of_family(told(SECOND, 2), 50, 60)]));
    assert!(!holds(&[issued(), first.clone(), of_family(told(OTHER, 2), 50, 60)]), "it gave two successors");
    // A third refresh token: the key of the successor that came with the second leaked.
    let replaced = of_family(told(OTHER, 3), 50, 60);
    assert!(holds(&[issued(), first.clone(), replaced.clone(), of_family(Dead { id: SECOND }, 70, 80)]));
    assert!(!holds(&[issued(), first.clone(), replaced.clone(), of_family(Live { id: SECOND }, 70, 80)]));
    assert!(!holds(&[issued(), replaced, first, of_family(Live { id: SECOND }, 70, 80)]));
    assert!(!holds(&[issued(), of_family(End, 20, 25), of_family(told(SECOND, 2), 30, 40)]), "it had ended");
}

#[test]
fn what_was_not_answered_may_happen_late_or_never() {
    let unanswered = of_family(MaybeEnd, 30, 0);
    let (live, dead) = (of_family(Live { id: FIRST }, 500, 510), of_family(Dead { id: FIRST }, 600, 610));
    assert!(holds(&[issued(), unanswered.clone(), live.clone()]));
    assert!(holds(&[issued(), unanswered.clone(), live.clone(), dead.clone()]));
    assert!(!holds(&[issued(), live.clone(), dead.clone()]), "nobody revoked it");
    let early = of_family(Dead { id: FIRST }, 25, 28);
    assert!(!holds(&[issued(), unanswered, early]), "it was revoked before anybody asked for it");
}

#[test]
fn what_ends_all_of_a_subject_ends_each_that_is_there() {
    let object = Object::Subject(SUBJECT);
    let all = Operation { object, step: Step::Token(MaybeEnd), sent: 30, answered: Some(40) };
    assert!(!holds(&[issued(), all.clone(), of_family(Live { id: FIRST }, 50, 60)]));
    let later = of_family(Issue { id: FIRST, subject: SUBJECT }, 50, 60);
    assert!(holds(&[all, later, of_family(Live { id: FIRST }, 70, 80)]));
}

#[test]
fn a_user_is_as_last_written() {
    let at = |step, sent, answered| Operation {
        object: Object::User("alice"),
        step: Step::Value(step),
        sent,
        answered: Some(answered),
    };
    let (good, gone) = (value::Step::Write(value::GOOD), value::Step::Write(value::ABSENT));
    let reads = |value| value::Step::Read(value);
    assert!(holds(&[
        at(good, 1, 2),
        at(gone, 3, 9),
        at(reads(value::GOOD), 4, 5),
        at(reads(value::ABSENT), 6, 7)
    ]));
    assert!(!holds(&[
        at(good, 1, 2),
        at(gone, 3, 9),
        at(reads(value::ABSENT), 4, 5),
        at(reads(value::GOOD), 6, 7)
    ]));
}

#[test]
fn of_two_changes_made_from_one_version_one_is_refused() {
    let at = |step, sent, answered| Operation {
        object: Object::Configuration,
        step: Step::Version(step),
        sent,
        answered: Some(answered),
    };
    let (read, set) =
        (version::Step::Read { version: 4 }, version::Step::Set { expected: Some(4), version: 5 });
    let other = version::Step::Set { expected: Some(4), version: 6 };
    assert!(holds(&[at(read, 1, 2), at(set, 3, 6), at(version::Step::Changed { current: 5 }, 4, 7)]));
    assert!(!holds(&[at(read, 1, 2), at(set, 3, 6), at(other, 4, 7)]));
}

/// A step of one group, asked for and answered then; never answered if the answer is zero.
fn of_group(step: group::Step, sent: u64, answered: u64) -> Operation {
    let (object, step) = (Object::Group("readers"), Step::Group(step));
    Operation { object, step, sent, answered: (answered > 0).then_some(answered) }
}

const NOBODY: group::Members = [false, false, false];
const ALICE: group::Members = [true, false, false];
const BOTH: group::Members = [true, true, false];

#[test]
fn a_group_has_who_was_written_put_and_not_taken_out() {
    use group::Step::{Absent, Delete, Join, Leave, Read, Remove, Write};
    let content = group::Content { text: 1, auto_join: false };
    let written = of_group(Write(content, ALICE), 1, 2);
    let (joined, left) = (of_group(Join(1), 3, 4), of_group(Leave(0), 5, 6));
    let reads = |members, at| of_group(Read(Some(content), members), at, at + 1);
    assert!(holds(&[written.clone(), joined.clone(), reads(BOTH, 7)]));
    assert!(!holds(&[written.clone(), joined.clone(), left.clone(), reads(BOTH, 7)]), "alice left");
    assert!(!holds(&[written.clone(), joined.clone(), of_group(Remove(1), 5, 6), reads(BOTH, 7)]));
    assert!(!holds(&[written.clone(), joined.clone(), reads(ALICE, 7)]), "bob was put into it");
    let other = group::Content { text: 2, ..content };
    assert!(!holds(&[written.clone(), of_group(Write(other, ALICE), 3, 4), reads(ALICE, 5)]));
    let deleted = of_group(Delete, 5, 6);
    assert!(holds(&[written.clone(), deleted.clone(), of_group(Read(None, NOBODY), 7, 8)]));
    assert!(!holds(&[written.clone(), deleted.clone(), of_group(Join(1), 7, 8)]), "it was not there");
    assert!(holds(&[written.clone(), deleted.clone(), of_group(Absent, 7, 8)]));
    assert!(!holds(&[written.clone(), of_group(Absent, 7, 8)]), "it was there");
    assert!(
        !holds(&[written, deleted.clone(), of_group(Delete, 7, 8)]),
        "of two deletions one found nothing"
    );
}

#[test]
fn whether_a_user_was_new_who_joins_what_all_join_is_open_until_somebody_reads_it() {
    use group::Step::{Leave, Read, Write};
    let content = group::Content { text: 1, auto_join: true };
    let reads = |members, at| of_group(Read(Some(content), members), at, at + 1);
    let begun = [of_group(Write(content, ALICE), 1, 2), of_group(Leave(1), 3, 4)];
    let with = |more: &[Operation]| holds(&[&begun, more].concat());
    assert!(with(&[reads(ALICE, 5)]));
    assert!(with(&[reads(BOTH, 5)]));
    assert!(!with(&[reads(ALICE, 5), reads(BOTH, 7)]), "nobody wrote in between");
    assert!(!with(&[of_group(Leave(0), 5, 6), reads(BOTH, 7)]), "alice was in it, and so was not new");
}

#[test]
fn what_was_not_answered_of_a_group_may_happen_late_or_never() {
    use group::Step::{MaybeDelete, MaybeJoin, Read, Write};
    let content = group::Content { text: 1, auto_join: false };
    let written = of_group(Write(content, ALICE), 1, 2);
    let reads = |members, at| of_group(Read(Some(content), members), at, at + 1);
    let (gone, joined) = (of_group(MaybeDelete, 3, 0), of_group(MaybeJoin(1), 3, 0));
    assert!(holds(&[written.clone(), gone.clone(), joined.clone(), reads(ALICE, 5), reads(BOTH, 7)]));
    assert!(holds(&[written.clone(), gone, joined.clone(), reads(ALICE, 5)]));
    assert!(!holds(&[written, joined, reads(BOTH, 5), reads(ALICE, 7)]), "nobody took bob out");
}

/// Of so many none can be tried with and without each other: that would never end.
#[test]
fn of_many_that_were_not_answered_only_those_are_tried_that_change_something() {
    let successor = |number: u8| TokenId([100 + number; 16]);
    let maybe = |number: u8| {
        let step = MaybeUse { sequence: 1, digest: u64::from(number), successor: successor(number) };
        of_family(step, 30, 0)
    };
    let history: Vec<Operation> = [issued()].into_iter().chain((0..100).map(maybe)).collect();
    let with = |more: &[Operation]| holds(&[&history, more].concat());
    let sees = |id, at| of_family(Live { id }, at, at + 5);
    assert!(with(&[sees(FIRST, 40), sees(successor(57), 50)]));
    assert!(!with(&[sees(successor(57), 40), sees(successor(58), 50)]), "it was used once");
    assert!(!with(&[sees(successor(57), 40), sees(FIRST, 50)]), "nothing comes back");
    assert!(!with(&[sees(OTHER, 40)]), "nobody asked for that");
}
