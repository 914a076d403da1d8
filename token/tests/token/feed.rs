//! Following a feed: what is signed, new and goes on from where one is counts; nothing else does.

use circlet_token::feed::{
    FeedAnswer, FeedContent, FeedEntry, FeedFault, FeedMark, FeedPosition, FeedStep, FeedWhom, Question,
    check_answer, subject_digest,
};
use circlet_token::{Algorithm, KeyId, PublicKey, ServiceId, SigningKey, Subject, TokenId};
use proptest::collection::vec;
use proptest::prelude::*;

const NONCE: [u8; 32] = [9; 32];

fn issuer() -> ServiceId {
    ServiceId::parse("jfrt@01theirs").unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_ed25519_seed(&[seed; 32])
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_parts(KeyId::of_certificate(b"circle"), Algorithm::EdDsa, issuer(), &key.spki_der())
        .unwrap()
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
    FeedAnswer::sign(&key(1), &issuer(), position, latest, NONCE, content).unwrap()
}

/// The honest answer to a follower at `at`.
fn following(at: FeedPosition, entries: &[FeedEntry]) -> FeedAnswer {
    let position = at.after_all(entries);
    let content = FeedContent::Entries { after: at.sequence, entries: bytes(entries) };
    sign(position, position.sequence, content)
}

fn ask(at: Option<FeedPosition>, answer: &FeedAnswer) -> Result<FeedStep, FeedFault> {
    let (issuer, key) = (issuer(), public(&key(1)));
    check_answer(
        &Question { issuer: &issuer, key: &key, nonce: NONCE, at, reading: None, cursor: None },
        answer,
    )
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
        key.prop_map(|key| FeedEntry::Tainted { key }),
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
    let (own, right, wrong) = (issuer(), public(&key(1)), public(&key(2)));
    let at = Some(genesis());
    let question = |issuer, key, nonce| Question { issuer, key, nonce, at, reading: None, cursor: None };
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
    let (issuer, key) = (issuer(), public(&key(1)));
    let (first, second) = (genesis().after(&listed(1)), genesis().after_all(&[listed(1), listed(2)]));
    let page = |at, next: &[u8]| {
        let (cursor, entries, next) = (b"here".to_vec(), bytes(&[listed(1)]), next.to_vec());
        sign(at, at.sequence, FeedContent::Page { cursor, entries, next })
    };
    let asked = |cursor: &[u8], at, reading, answer: &FeedAnswer| {
        let cursor = Some(cursor);
        check_answer(&Question { issuer: &issuer, key: &key, nonce: NONCE, at, reading, cursor }, answer)
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
