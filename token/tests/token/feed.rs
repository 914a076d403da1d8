//! Following a feed: what is signed, new and goes on from where one is counts; nothing else does.

use circlet_token::feed::{
    CirclePublicKey, FEED_ANSWER_BYTES_MAX, FEED_CONTENT_BYTES_MAX, FeedAnswer, FeedContent, FeedEntry,
    FeedFault, FeedHeard, FeedMark, FeedPosition, FeedStep, FeedWhom, Question, SUCCESSIONS_MAX, Succession,
    Taken, TokenKeyFault, check_answer, check_token_key, subject_digest,
};
use circlet_token::{KeyId, ServiceId, SigningKey, Subject, TokenId};
use proptest::collection::vec;
use proptest::prelude::*;

const NONCE: [u8; 32] = [9; 32];

fn issuer() -> ServiceId {
    ServiceId::parse("jfrt@01theirs").unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_ed25519_seed(&[seed; 32])
}

fn public(seed: u8) -> CirclePublicKey {
    CirclePublicKey::of(&key(seed)).unwrap()
}

/// The key of one seed names that of another.
fn named(seed: u8, next: u8) -> Succession {
    Succession::sign(&key(seed), &issuer(), public(next)).unwrap()
}

fn listed(number: u8) -> FeedEntry {
    FeedEntry::Listed { expiry: 1_800_000_000 + u64::from(number), id: TokenId([number; 16]) }
}

fn bytes(entries: &[FeedEntry]) -> Vec<u8> {
    entries.iter().flat_map(FeedEntry::to_bytes).collect()
}

fn genesis() -> FeedPosition {
    FeedPosition { generation: 1, ..FeedPosition::default() }
}

fn sign(position: FeedPosition, latest: u64, content: FeedContent) -> FeedAnswer {
    FeedAnswer::sign(&key(1), &issuer(), position, latest, NONCE, Vec::new(), content).unwrap()
}

/// The honest answer to a follower at `at`.
fn following(at: FeedPosition, entries: &[FeedEntry]) -> FeedAnswer {
    let position = at.after_all(entries);
    let content = FeedContent::Entries { after: at.sequence, entries: bytes(entries) };
    sign(position, position.sequence, content)
}

fn ask(at: Option<FeedPosition>, answer: &FeedAnswer) -> Result<FeedStep, FeedFault> {
    let issuer = issuer();
    let question =
        Question { issuer: &issuer, keys: &[public(1)], nonce: NONCE, at, reading: None, cursor: None };
    check_answer(&question, answer).map(|heard| heard.step)
}

pub(crate) fn an_entry() -> impl Strategy<Value = FeedEntry> {
    let key = any::<[u8; 4]>().prop_map(|bytes| KeyId::of_certificate(&bytes));
    let whom = prop_oneof![
        Just(FeedWhom::Everyone),
        key.clone().prop_map(FeedWhom::Key),
        any::<[u8; 32]>().prop_map(FeedWhom::Subject),
        ".{0,12}".prop_map(FeedWhom::Start),
        ".{0,12}".prop_map(FeedWhom::Group),
    ];
    prop_oneof![
        (any::<u64>(), any::<[u8; 16]>())
            .prop_map(|(expiry, id)| FeedEntry::Listed { expiry, id: TokenId(id) }),
        (any::<u64>(), any::<[u8; 16]>())
            .prop_map(|(until, id)| FeedEntry::Unseen { until, id: TokenId(id) }),
        (whom, any::<[u64; 4]>()).prop_map(|(whom, [index, set_at, since, until])| FeedEntry::Mark {
            whom,
            mark: FeedMark { index, set_at, since, until },
        }),
        key.clone().prop_map(|key| FeedEntry::Tainted { key }),
        vec(any::<u8>(), 0..40).prop_map(|certificate| FeedEntry::KeyShown { certificate }),
        key.clone().prop_map(|key| FeedEntry::KeyActive { key }),
        key.prop_map(|key| FeedEntry::KeyRetired { key }),
    ]
}

proptest! {
    #[test]
    fn entries_read_back_and_have_one_spelling(entries in vec(an_entry(), 0..20)) {
        let written = bytes(&entries);
        prop_assert_eq!(FeedEntry::read_all(&written), Some(entries));
    }

    #[test]
    fn bytes_that_read_as_entries_are_their_spelling(noise in vec(any::<u8>(), 0..80)) {
        if let Some(entries) = FeedEntry::read_all(&noise) {
            prop_assert_eq!(bytes(&entries), noise);
        }
    }

    #[test]
    fn any_flipped_bit_is_refused(entries in vec(an_entry(), 0..6), bit in any::<prop::sample::Index>()) {
        let mut answer = following(genesis(), &entries).to_bytes();
        let bit = bit.index(answer.len() * 8);
        answer[bit / 8] ^= 1 << (bit % 8);
        let step = FeedAnswer::read(&answer).map(|answer| ask(Some(genesis()), &answer));
        prop_assert!(!matches!(step, Some(Ok(_))), "bit {}: {:?}", bit, step);
    }

    #[test]
    fn any_cut_is_refused(entries in vec(an_entry(), 1..6), at in any::<prop::sample::Index>()) {
        let answer = following(genesis(), &entries).to_bytes();
        let step = FeedAnswer::read(&answer[..at.index(answer.len())]).map(|answer| ask(Some(genesis()), &answer));
        prop_assert!(!matches!(step, Some(Ok(_))), "{:?}", step);
    }
}

#[test]
fn a_revoked_id_takes_at_most_22_bytes() {
    assert_eq!(listed(1).to_bytes().len(), 22);
    assert_eq!(FeedEntry::Listed { expiry: u64::MAX, id: TokenId([1; 16]) }.to_bytes().len(), 18);
}

#[test]
fn what_follows_is_taken_and_an_unchanged_feed_is_seen_to_be_that() {
    let entries = [listed(1), listed(2)];
    let to = genesis().after_all(&entries);
    let step = ask(Some(genesis()), &following(genesis(), &entries)).unwrap();
    assert_eq!(step, FeedStep::Entries { entries: entries.to_vec(), to, complete: true });
    assert_eq!(ask(Some(to), &following(to, &[])), Ok(FeedStep::Unchanged));
    // A part of it is in order, and said to be one.
    let content = FeedContent::Entries { after: 0, entries: bytes(&entries) };
    let step = ask(Some(genesis()), &sign(to, 7, content)).unwrap();
    assert!(matches!(step, FeedStep::Entries { complete: false, .. }));
}

#[test]
fn an_answer_to_another_question_of_another_issuer_or_under_another_key_is_refused() {
    let (answer, other) = (following(genesis(), &[listed(1)]), ServiceId::parse("jfrt@01other").unwrap());
    let (own, right, wrong) = (issuer(), [public(1)], [public(2)]);
    let at = Some(genesis());
    let question = |issuer, keys, nonce| Question { issuer, keys, nonce, at, reading: None, cursor: None };
    let judge = |question| check_answer(&question, &answer);
    assert_eq!(judge(question(&own, &right, [8; 32])), Err(FeedFault::Replayed));
    assert_eq!(judge(question(&own, &wrong, NONCE)), Err(FeedFault::Signature));
    assert_eq!(judge(question(&other, &right, NONCE)), Err(FeedFault::Issuer));
    assert!(judge(question(&own, &right, NONCE)).is_ok());
}

#[test]
fn a_feed_that_forks_or_goes_back_is_proved_by_its_own_signature() {
    let at = genesis().after_all(&[listed(1), listed(2)]);
    let forked = genesis().after_all(&[listed(1), listed(3)]);
    let fault = |answer: &FeedAnswer| ask(Some(at), answer).unwrap_err();
    assert_eq!(fault(&following(forked, &[])), FeedFault::Fork);
    assert_eq!(fault(&following(forked, &[listed(4)])), FeedFault::Fork);
    assert_eq!(fault(&sign(forked, 2, FeedContent::Elsewhere)), FeedFault::Fork);
    let short = genesis().after(&listed(1));
    assert_eq!(fault(&following(short, &[])), FeedFault::WentBack);
    assert_eq!(fault(&sign(short, 1, FeedContent::Elsewhere)), FeedFault::WentBack);
    let earlier = FeedPosition { generation: 0, sequence: 90, hash: [0; 32] };
    assert_eq!(fault(&sign(earlier, 90, FeedContent::Elsewhere)), FeedFault::WentBack);
    for fault in [FeedFault::Fork, FeedFault::WentBack] {
        assert!(fault.is_proved());
    }
}

#[test]
fn a_gap_is_refused_whether_at_the_front_or_at_the_end() {
    let at = genesis().after(&listed(1));
    let later = at.after(&listed(2));
    assert_eq!(ask(Some(at), &following(later, &[listed(3)])), Err(FeedFault::Gap));
    let nothing = FeedContent::Entries { after: 1, entries: Vec::new() };
    assert_eq!(ask(Some(at), &sign(at, 5, nothing)), Err(FeedFault::Gap));
    assert_eq!(ask(None, &following(genesis(), &[listed(1)])), Err(FeedFault::Gap));
    let page = FeedContent::Entries { after: 1, entries: b"\xff".to_vec() };
    assert_eq!(ask(Some(at), &sign(at, 5, page)), Err(FeedFault::Unreadable));
}

#[test]
fn a_list_is_read_from_nodes_that_stand_no_earlier_than_its_first_page() {
    let issuer = issuer();
    let (first, second) = (genesis().after(&listed(1)), genesis().after_all(&[listed(1), listed(2)]));
    let page = |at, next: &[u8]| {
        let (cursor, entries, next) = (b"here".to_vec(), bytes(&[listed(1)]), next.to_vec());
        sign(at, at.sequence, FeedContent::Page { cursor, entries, next })
    };
    let asked = |cursor: &[u8], at, reading, answer: &FeedAnswer| {
        let cursor = Some(cursor);
        let question = Question { issuer: &issuer, keys: &[public(1)], nonce: NONCE, at, reading, cursor };
        check_answer(&question, answer).map(|heard| heard.step)
    };
    let judge = |at, reading, answer: &FeedAnswer| asked(b"here", at, reading, answer);
    assert_eq!(asked(b"there", None, None, &page(first, b"")), Err(FeedFault::Gap), "another page");
    let step = judge(None, None, &page(first, b"more")).unwrap();
    assert_eq!(step, FeedStep::Page { entries: vec![listed(1)], from: first, next: b"more".to_vec() });
    let step = judge(None, Some(first), &page(second, b"")).unwrap();
    assert_eq!(step, FeedStep::Page { entries: vec![listed(1)], from: first, next: Vec::new() });
    assert_eq!(judge(None, Some(second), &page(first, b"")), Err(FeedFault::WentBack));
    assert_eq!(judge(Some(second), None, &page(first, b"")), Err(FeedFault::WentBack));
    let restored = FeedPosition { generation: 2, ..first };
    assert!(judge(Some(second), None, &page(restored, b"")).is_ok(), "a new generation begins anew");
    assert_eq!(judge(None, Some(first), &page(restored, b"")), Err(FeedFault::Gap));
}

#[test]
fn a_subject_is_the_same_under_each_name_of_its_service_and_nobody_is_named() {
    let digest = |text: &str| subject_digest(&Subject::parse(text).unwrap());
    assert_eq!(digest("jfrt@01theirs/users/bob"), digest("jfac@01theirs/users/bob"));
    assert_ne!(digest("jfrt@01theirs/users/bob"), digest("jfrt@01theirs/users/bo"));
    assert_ne!(digest("jfrt@01theirs/users/bob"), digest("jfrt@01other/users/bob"));
}

/// The answer to a follower at the beginning, signed by one circle key after these successions.
fn signed_by(seed: u8, successions: &[Succession], entries: &[FeedEntry]) -> FeedAnswer {
    let to = genesis().after_all(entries);
    let content = FeedContent::Entries { after: 0, entries: bytes(entries) };
    FeedAnswer::sign(&key(seed), &issuer(), to, to.sequence, NONCE, successions.to_vec(), content).unwrap()
}

fn hear(known: &[u8], answer: &FeedAnswer) -> Result<FeedHeard, FeedFault> {
    let (issuer, keys) = (issuer(), known.iter().map(|seed| public(*seed)).collect::<Vec<_>>());
    let question = Question {
        issuer: &issuer,
        keys: &keys,
        nonce: NONCE,
        at: Some(genesis()),
        reading: None,
        cursor: None,
    };
    check_answer(&question, answer)
}

fn told(succession: Succession) -> FeedEntry {
    FeedEntry::CircleKey(Box::new(succession))
}

#[test]
fn the_next_circle_key_is_believed_when_the_one_before_names_it() {
    let all = [named(1, 2), named(2, 3)];
    let answer = signed_by(3, &all, &[told(all[0]), listed(1), told(all[1])]);
    assert_eq!(FeedAnswer::read(&answer.to_bytes()).as_ref(), Some(&answer), "it reads back");
    assert_eq!(hear(&[1], &answer).unwrap().successions, all, "whoever was away is led through both");
    assert_eq!(hear(&[2], &answer).unwrap().successions, all[1..], "whoever paired in between");
    assert_eq!(hear(&[1, 2, 3], &answer).unwrap().successions, [], "whoever knows them all");
    assert_eq!(hear(&[9], &answer), Err(FeedFault::Signature), "whoever knows none of them");
    // The proof comes with every kind of answer, also with a part of the chain from before the replacement.
    let early = FeedContent::Entries { after: 0, entries: bytes(&[listed(1)]) };
    let early =
        FeedAnswer::sign(&key(3), &issuer(), genesis().after(&listed(1)), 9, NONCE, all.to_vec(), early);
    assert_eq!(hear(&[1], &early.unwrap()).unwrap().successions, all);
}

#[test]
fn a_retired_circle_key_says_nothing_any_more() {
    let (old, all) = (signed_by(1, &[], &[listed(1)]), [named(1, 2)]);
    assert!(hear(&[1], &old).is_ok());
    assert_eq!(hear(&[1, 2], &old), Err(FeedFault::Signature));
    assert_eq!(hear(&[1], &signed_by(1, &all, &[listed(1)])), Err(FeedFault::Signature));
    // What an older one signs about its successor leads nowhere, if the present one signs the chain.
    let stray = signed_by(2, &all, &[told(named(3, 4))]);
    assert_eq!(hear(&[1], &stray), Err(FeedFault::Succession));
    assert!(FeedFault::Succession.is_proved());
}

#[test]
fn two_successors_of_one_circle_key_are_a_fork_whoever_shows_them() {
    let (known, other) = (named(1, 2), named(1, 3));
    assert_eq!(hear(&[1, 2], &signed_by(3, &[other], &[])), Err(FeedFault::KeyFork));
    assert_eq!(hear(&[1, 2], &signed_by(2, &[known, other], &[])), Err(FeedFault::KeyFork));
    assert_eq!(hear(&[1], &signed_by(2, &[known, other], &[])), Err(FeedFault::KeyFork));
    assert_eq!(hear(&[1, 2], &signed_by(1, &[known, named(2, 1)], &[])), Err(FeedFault::KeyFork), "a ring");
    assert!(FeedFault::KeyFork.is_proved());
    // What the key didn't sign proves nothing against it.
    let forged = Succession { next: public(3), ..known };
    assert_eq!(hear(&[1, 2], &signed_by(3, &[forged], &[])), Err(FeedFault::Signature));
    assert_eq!(hear(&[1], &signed_by(3, &[forged], &[])), Err(FeedFault::Signature));
    let elsewhere = ServiceId::parse("jfrt@01other").unwrap();
    let of_another = Succession::sign(&key(1), &elsewhere, public(3)).unwrap();
    assert_eq!(hear(&[1], &signed_by(3, &[of_another], &[])), Err(FeedFault::Signature));
}

#[test]
fn the_largest_answer_is_read() {
    let successions = vec![named(1, 2); SUCCESSIONS_MAX];
    let content = FeedContent::Page {
        cursor: vec![1; 64],
        entries: vec![1; FEED_CONTENT_BYTES_MAX],
        next: vec![1; 64],
    };
    let answer = FeedAnswer::sign(&key(1), &issuer(), genesis(), 0, NONCE, successions, content).unwrap();
    let answer = answer.to_bytes();
    assert!(answer.len() <= FEED_ANSWER_BYTES_MAX, "{} bytes", answer.len());
    assert!(FeedAnswer::read(&answer).is_some());
    let too_many = vec![named(1, 2); SUCCESSIONS_MAX + 1];
    let content = FeedContent::Elsewhere;
    let answer = FeedAnswer::sign(&key(1), &issuer(), genesis(), 0, NONCE, too_many, content).unwrap();
    assert_eq!(FeedAnswer::read(&answer.to_bytes()), None);
}

#[test]
fn what_a_member_has_taken_over_is_said_under_its_own_key_of_one_feed_and_one_point() {
    let (issuer, member, other) = (issuer(), ServiceId::parse("jfrt@01us").unwrap(), public(2));
    let at = genesis().after(&listed(1));
    let taken = Taken { issuer: &issuer, member: &member, at };
    let signature = taken.sign(&key(1));
    assert!(taken.is_signed_by(public(1), &signature));
    assert!(!taken.is_signed_by(other, &signature));
    let later = Taken { at: at.after(&listed(2)), ..taken.clone() };
    assert!(!later.is_signed_by(public(1), &signature));
    let of_another = Taken { issuer: &member, member: &issuer, at };
    assert!(!of_another.is_signed_by(public(1), &signature));
}

#[test]
fn a_token_key_is_read_from_a_certificate_of_bounded_size_that_names_nobody_else() {
    let huge = vec![0x30; 5_000];
    assert_eq!(check_token_key(&issuer(), &huge), Err(TokenKeyFault::Oversize));
    assert_eq!(check_token_key(&issuer(), b"nothing"), Err(TokenKeyFault::Certificate));
    assert_eq!(check_token_key(&issuer(), &[]), Err(TokenKeyFault::Certificate));
}
