//! Verifying without a node: a revocable token is good only while a dated head is, and nobody can make it anything else.

use circlet_token::feed::{
    CirclePublicKey, DatedHead, FeedAnswer, FeedContent, FeedEntry, FeedFault, FeedMark, FeedPosition,
    FeedWant, FeedWhom, Follower, HEAD_AHEAD_MS_MAX, HeadFault, Succession, subject_digest,
};
use circlet_token::{
    Check, Circle, Claims, Reject, Revocation, ServiceId, SigningKey, TokenId, mint, read_certificate,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::data::{MEMBER, MEMBER_CERTIFICATE, NOW, OWN_CERTIFICATE, claims, kid, own, own_key, trusted};
use crate::feed::an_entry;

const NOW_MS: u64 = NOW * 1_000;
const VALID_MS: u64 = 60_000;
const MANY: u64 = 1_000_000;

/// An issuer whose feed can be told in any way.
struct Issuer {
    key: SigningKey,
    entries: Vec<FeedEntry>,
    generation: u64,
    /// How its key got to be the present one.
    successions: Vec<Succession>,
}

fn listed(number: u8) -> FeedEntry {
    FeedEntry::Listed { expiry: NOW + 3_600, id: TokenId([number; 16]) }
}

fn bytes(entries: &[FeedEntry]) -> Vec<u8> {
    entries.iter().flat_map(FeedEntry::to_bytes).collect()
}

impl Issuer {
    fn of(entries: &[FeedEntry]) -> Self {
        Self {
            key: SigningKey::from_ed25519_seed(&[1; 32]),
            entries: entries.to_vec(),
            generation: 1,
            successions: Vec::new(),
        }
    }

    fn at(&self, sequence: usize) -> FeedPosition {
        let start = FeedPosition { generation: self.generation, ..FeedPosition::default() };
        start.after_all(&self.entries[..sequence])
    }

    fn end(&self) -> FeedPosition {
        self.at(self.entries.len())
    }

    fn sign(&self, position: FeedPosition, content: FeedContent) -> Vec<u8> {
        let latest = position.sequence;
        FeedAnswer::sign(&self.key, &own(), position, latest, [7; 32], self.successions.clone(), content)
            .unwrap()
            .to_bytes()
    }

    /// A page with these entries of the list, as asked for by a cursor.
    fn page(&self, cursor: &[u8], entries: &[FeedEntry], next: &[u8]) -> Vec<u8> {
        let (cursor, next) = (cursor.to_vec(), next.to_vec());
        self.sign(self.end(), FeedContent::Page { cursor, entries: bytes(entries), next })
    }

    fn after(&self, sequence: usize) -> Vec<u8> {
        let entries = bytes(&self.entries[sequence..]);
        let after = u64::try_from(sequence).unwrap();
        self.sign(self.end(), FeedContent::Entries { after, entries })
    }

    fn head(&self, position: FeedPosition, issued_at_ms: u64) -> Vec<u8> {
        DatedHead::sign(&self.key, &own(), position, issued_at_ms, VALID_MS).unwrap().to_bytes()
    }

    fn follower(&self) -> Follower {
        Follower::new(&own(), &self.key.spki_der(), MANY).unwrap()
    }

    /// One that has read all there is, under a head of now.
    fn followed(&self) -> Follower {
        let mut follower = self.follower();
        assert!(follower.take(&self.page(b"", &self.entries, b"")).unwrap());
        assert!(!follower.take(&self.after(self.entries.len())).unwrap());
        follower.take_head(&self.head(self.end(), NOW_MS), NOW_MS).unwrap();
        follower
    }
}

fn token(claims: &Claims) -> String {
    mint(claims, &kid(OWN_CERTIFICATE), &own_key())
}

/// A revocable token with an id of its own.
fn revocable(number: u8) -> String {
    token(&Claims { revocable: Some(true), id: Some(TokenId([number; 16])), ..claims() })
}

fn verify_at(follower: &Follower, token: &str, now: u64) -> Result<(), Reject> {
    let mut circle = Circle::new(trusted());
    circle.follow(follower.clone());
    circle.verify(token, &Check::new(now, &own())).map(drop)
}

fn verify(follower: &Follower, token: &str) -> Result<(), Reject> {
    verify_at(follower, token, NOW)
}

fn why(result: Result<(), Reject>) -> Revocation {
    match result {
        Err(Reject::Revoked { why }) => why,
        other => panic!("{other:?}"),
    }
}

fn is_stale(result: Result<(), Reject>) -> bool {
    matches!(why(result), Revocation::ForeignStale { .. })
}

#[test]
fn a_revocable_token_is_good_while_the_head_is_valid_and_a_plain_one_at_any_time() {
    let follower = Issuer::of(&[listed(1)]).followed();
    let last = NOW + VALID_MS / 1_000 - 1;
    assert_eq!(verify_at(&follower, &revocable(2), last), Ok(()));
    assert!(is_stale(verify_at(&follower, &revocable(2), last + 1)));
    assert_eq!(verify_at(&follower, &token(&claims()), last + 1), Ok(()));
    let endless = token(&Claims { expires_at: None, ..claims() });
    assert_eq!(verify_at(&follower, &endless, last), Ok(()));
    assert!(is_stale(verify_at(&follower, &endless, last + 1)), "what never ends can be revoked");
    for now in [NOW, last + 1] {
        assert_eq!(why(verify_at(&follower, &revocable(1), now)), Revocation::Listed);
    }
    let forgotten = token(&Claims { revocable: Some(true), index: None, ..claims() });
    assert!(matches!(why(verify(&follower, &forgotten)), Revocation::ForeignRevocable { .. }));
}

#[test]
fn without_a_feed_or_a_head_nothing_revocable_is_good() {
    let issuer = Issuer::of(&[listed(1)]);
    let circle = Circle::new(trusted());
    let judge = |token: &str| circle.verify(token, &Check::new(NOW, &own())).map(drop);
    assert!(matches!(why(judge(&revocable(2))), Revocation::ForeignRevocable { .. }));
    assert_eq!(judge(&token(&claims())), Ok(()));
    let mut follower = issuer.follower();
    assert!(matches!(why(verify(&follower, &revocable(2))), Revocation::ForeignUnknown { .. }));
    let head = issuer.head(issuer.end(), NOW_MS);
    assert_eq!(follower.take_head(&head, NOW_MS), Err(HeadFault::Unread), "what led there is not known");
    assert!(matches!(why(verify(&follower, &revocable(2))), Revocation::ForeignUnknown { .. }));
}

#[test]
fn everything_that_a_feed_tells_is_refused() {
    let mark = FeedMark { index: 50, set_at: NOW, since: 0, until: u64::MAX };
    let of = |whom| FeedEntry::Mark { whom, mark };
    let subject = claims().subject;
    for entry in [
        FeedEntry::Unseen { until: NOW, id: claims().id.unwrap() },
        FeedEntry::Tainted { key: kid(OWN_CERTIFICATE) },
        of(FeedWhom::Everyone),
        of(FeedWhom::Key(kid(OWN_CERTIFICATE))),
        of(FeedWhom::Subject(subject_digest(&subject))),
        of(FeedWhom::Start("users/al".to_owned())),
        of(FeedWhom::Start(String::new())),
    ] {
        let follower = Issuer::of(std::slice::from_ref(&entry)).followed();
        assert!(verify(&follower, &token(&claims())).is_err(), "{entry:?}");
    }
    for entry in [of(FeedWhom::Start("users/bob".to_owned())), of(FeedWhom::Group("readers".to_owned()))] {
        let follower = Issuer::of(std::slice::from_ref(&entry)).followed();
        assert_eq!(verify(&follower, &token(&claims())), Ok(()), "{entry:?}");
    }
    // Issued by a view that had heard of it; and what one covers, a narrower one behind it doesn't give back.
    let later = Claims { index: Some(50), ..claims() };
    let narrow = FeedMark { since: 10, until: 20, ..mark };
    let entries = [of(FeedWhom::Everyone), FeedEntry::Mark { whom: FeedWhom::Everyone, mark: narrow }];
    let follower = Issuer::of(&entries).followed();
    assert_eq!(verify(&follower, &token(&later)), Ok(()));
    assert_eq!(why(verify(&follower, &token(&claims()))), Revocation::Watermark);
}

#[test]
fn an_older_head_a_forged_one_and_that_of_another_change_nothing() {
    let mut issuer = Issuer::of(&[listed(1)]);
    let mut follower = issuer.followed();
    let first = issuer.head(issuer.end(), NOW_MS);
    issuer.entries.push(listed(2));
    assert_eq!(follower.take_head(&issuer.head(issuer.end(), NOW_MS + 1), NOW_MS), Err(HeadFault::Unread));
    assert_eq!(verify(&follower, &revocable(9)), Ok(()), "the head before goes on counting");
    assert!(!follower.take(&issuer.after(1)).unwrap());
    let second = issuer.head(issuer.end(), NOW_MS + 1);
    follower.take_head(&second, NOW_MS).unwrap();
    assert_eq!(follower.take_head(&second, NOW_MS), Ok(()), "the same again");
    assert_eq!(follower.take_head(&first, NOW_MS), Err(HeadFault::Older), "replayed");
    // With a later date at an earlier place, as a node whose clock is ahead would sign it.
    let back = issuer.head(issuer.at(1), NOW_MS + 2);
    assert_eq!(follower.take_head(&back, NOW_MS), Err(HeadFault::Older));
    let forger = Issuer { key: SigningKey::from_ed25519_seed(&[2; 32]), ..Issuer::of(&issuer.entries) };
    let unknown = forger.head(issuer.end(), NOW_MS + 3);
    assert_eq!(follower.take_head(&unknown, NOW_MS), Err(HeadFault::Signature));
    let other = ServiceId::parse(MEMBER).unwrap();
    let others = DatedHead::sign(&issuer.key, &other, issuer.end(), NOW_MS + 3, VALID_MS).unwrap();
    assert_eq!(follower.take_head(&others.to_bytes(), NOW_MS), Err(HeadFault::Issuer));
    // What the same key signed for another purpose is no head.
    assert_eq!(follower.take_head(&issuer.after(2), NOW_MS), Err(HeadFault::Unreadable));
    assert_eq!(follower.head().map(DatedHead::to_bytes), Some(second));
    assert_eq!(verify(&follower, &revocable(9)), Ok(()));
    assert_eq!(why(verify(&follower, &revocable(2))), Revocation::Listed);
}

#[test]
fn a_head_that_contradicts_what_was_signed_ends_the_belief_for_good() {
    let issuer = Issuer::of(&[listed(1), listed(2)]);
    let forked = Issuer::of(&[listed(1), listed(3)]);
    let mut follower = issuer.followed();
    let head = forked.head(forked.end(), NOW_MS + 1);
    assert_eq!(follower.take_head(&head, NOW_MS), Err(HeadFault::Fork));
    let mut other = issuer.followed();
    assert_eq!(other.take(&forked.after(2)), Err(FeedFault::Fork));
    for follower in [follower, other] {
        let kept = Follower::from_bytes(&follower.to_bytes()).unwrap();
        for mut follower in [follower, kept] {
            assert_eq!(follower.want(), FeedWant::Nothing);
            let unknown = why(verify(&follower, &revocable(9)));
            assert!(matches!(unknown, Revocation::ForeignUnknown { .. }), "{unknown:?}");
            assert_eq!(why(verify(&follower, &revocable(1))), Revocation::Listed);
            assert_eq!(follower.take(&issuer.after(2)), Err(FeedFault::Fork));
            assert_eq!(verify(&follower, &token(&claims())), Ok(()), "what can't be revoked goes on");
        }
    }
}

#[test]
fn a_feed_that_is_cut_off_or_told_in_part_leads_to_no_head() {
    let issuer = Issuer::of(&[listed(1), listed(2), listed(3)]);
    let head = issuer.head(issuer.end(), NOW_MS);
    // A list without its last page, then without the one in the middle.
    let mut follower = issuer.follower();
    assert!(follower.take(&issuer.page(b"", &[listed(1)], b"b")).unwrap());
    assert_eq!(follower.take(&issuer.page(b"c", &[listed(3)], b"")), Err(FeedFault::Gap));
    assert_eq!(follower.take(&issuer.after(3)), Err(FeedFault::Gap));
    assert_eq!(follower.take_head(&head, NOW_MS), Err(HeadFault::Unread));
    assert_eq!(follower.want(), FeedWant::Page(b"b".to_vec()));
    assert!(follower.take(&issuer.page(b"b", &[listed(2)], b"c")).unwrap());
    assert!(follower.take(&issuer.page(b"c", &[listed(3)], b"")).unwrap());
    assert_eq!(follower.take_head(&head, NOW_MS), Ok(()));
    // Entries without the last, under the true position: the chain doesn't lead there.
    let mut short = Issuer::of(&[listed(1)]).followed();
    let content = FeedContent::Entries { after: 1, entries: bytes(&issuer.entries[1..2]) };
    assert_eq!(short.clone().take(&issuer.sign(issuer.end(), content)), Err(FeedFault::Fork));
    assert_eq!(short.take(&issuer.after(2)), Err(FeedFault::Gap), "without the first");
    let whole = issuer.after(1);
    for length in 0..whole.len() {
        assert!(short.clone().take(&whole[..length]).is_err(), "{length} bytes of {}", whole.len());
    }
    // An old answer, truly signed, is not taken back to; it proves nothing either, since nobody asked for it just now.
    let mut follower = issuer.followed();
    let earlier = Issuer::of(&[listed(1)]);
    assert_eq!(follower.take(&earlier.after(1)), Err(FeedFault::WentBack));
    assert_eq!(verify(&follower, &revocable(9)), Ok(()));
}

#[test]
fn a_clock_in_the_future_or_set_back_lets_nothing_live_longer() {
    let issuer = Issuer::of(&[listed(1)]);
    let mut follower = issuer.followed();
    let ahead_ms = HEAD_AHEAD_MS_MAX + 1;
    let head = issuer.head(issuer.end(), NOW_MS + ahead_ms);
    assert_eq!(follower.take_head(&head, NOW_MS), Err(HeadFault::Ahead { ahead_ms }));
    assert_eq!(follower.take_head(&head, NOW_MS + 1), Ok(()));
    // The verifier's clock goes back by a day: no head counts for longer than its time behind the one that is known.
    let set_back = NOW - 86_400;
    assert_eq!(
        verify_at(&follower, &revocable(9), set_back),
        Err(Reject::NotYetValid { from: NOW, now: set_back })
    );
    let before =
        token(&Claims { revocable: Some(true), issued_at: 5, id: Some(TokenId([9; 16])), ..claims() });
    assert_eq!(verify_at(&follower, &before, set_back), Ok(()), "it is known that it is later");
    let late_ms = NOW_MS + 10 * VALID_MS;
    follower.take_head(&issuer.head(issuer.end(), late_ms - VALID_MS), late_ms).unwrap();
    assert!(is_stale(verify_at(&follower, &before, set_back)), "and stays so");
    let kept = Follower::from_bytes(&follower.to_bytes()).unwrap();
    assert!(is_stale(verify_at(&kept, &before, set_back)), "also after a restart");
}

#[test]
fn a_huge_feed_is_refused_at_its_quota_and_nothing_revocable_is_good_then() {
    let entries: Vec<FeedEntry> = (0..20).map(listed).collect();
    let issuer = Issuer::of(&entries);
    let mut follower = Follower::new(&own(), &issuer.key.spki_der(), 10).unwrap();
    for _ in 0..3 {
        assert_eq!(follower.take(&issuer.page(b"", &entries, b"")), Err(FeedFault::TooMany));
    }
    let more: Vec<FeedEntry> = (100..200).map(listed).collect();
    assert_eq!(follower.take(&issuer.page(b"", &more, b"")), Err(FeedFault::TooMany));
    assert_eq!(follower.len(), 20, "no more than one answer beyond it");
    assert_eq!(follower.take_head(&issuer.head(issuer.end(), NOW_MS), NOW_MS), Err(HeadFault::Unread));
    assert!(matches!(why(verify(&follower, &revocable(99))), Revocation::ForeignUnknown { .. }));
    assert_eq!(follower.take(&vec![1; 1 << 20]), Err(FeedFault::Unreadable));
}

#[test]
fn a_restored_issuer_begins_a_feed_anew_and_what_was_revoked_stays_so() {
    let mut issuer = Issuer::of(&[listed(1)]);
    let mut follower = issuer.followed();
    issuer = Issuer { generation: 2, ..Issuer::of(&[listed(2)]) };
    assert!(follower.take(&issuer.sign(issuer.end(), FeedContent::Elsewhere)).unwrap());
    assert_eq!(follower.want(), FeedWant::Page(Vec::new()));
    assert!(follower.take(&issuer.page(b"", &[listed(2)], b"")).unwrap());
    follower.take_head(&issuer.head(issuer.end(), NOW_MS), NOW_MS).unwrap();
    for number in [1, 2] {
        assert_eq!(why(verify(&follower, &revocable(number))), Revocation::Listed);
    }
    assert_eq!(verify(&follower, &revocable(3)), Ok(()));
}

#[test]
fn what_has_expired_is_forgotten() {
    let issuer = Issuer::of(&[listed(1), FeedEntry::Unseen { until: NOW + 3_600, id: TokenId([2; 16]) }]);
    let mut follower = issuer.followed();
    let late_ms = NOW_MS + 2 * 3_600_000;
    follower.take_head(&issuer.head(issuer.end(), late_ms - 1_000), late_ms - 1_000).unwrap();
    assert_eq!(follower.len(), 2, "not before an hour is over");
    follower.take_head(&issuer.head(issuer.end(), late_ms), late_ms).unwrap();
    assert!(follower.is_empty());
}

#[test]
fn token_keys_and_the_next_circle_key_come_with_the_feed_and_go_with_it() {
    let mut issuer = Issuer::of(&[listed(1)]);
    let mut follower = issuer.followed();
    let verify = |follower: &Follower, token: &str| {
        let mut circle = Circle::default();
        circle.follow(follower.clone());
        circle.verify(token, &Check::new(NOW, &own())).map(drop)
    };
    let unknown = |result| matches!(result, Err(Reject::UnknownKey { .. }));
    assert!(unknown(verify(&follower, &revocable(9))), "nobody has brought its certificate");
    let certificate = read_certificate(OWN_CERTIFICATE).unwrap().der;
    let others = read_certificate(MEMBER_CERTIFICATE).unwrap().der;
    let next = SigningKey::from_ed25519_seed(&[2; 32]);
    let succession = Succession::sign(&issuer.key, &own(), CirclePublicKey::of(&next).unwrap()).unwrap();
    issuer.entries.extend([
        FeedEntry::KeyShown { certificate },
        FeedEntry::KeyShown { certificate: others },
        FeedEntry::CircleKey(Box::new(succession)),
    ]);
    let before = issuer.head(issuer.at(1), NOW_MS + 1);
    (issuer.key, issuer.successions) = (next, vec![succession]);
    assert_eq!(follower.take_head(&issuer.head(issuer.end(), NOW_MS + 1), NOW_MS), Err(HeadFault::Signature));
    assert!(!follower.take(&issuer.after(1)).unwrap());
    assert_eq!(
        follower.take_head(&before, NOW_MS),
        Err(HeadFault::Signature),
        "the key before dates nothing"
    );
    follower.take_head(&issuer.head(issuer.end(), NOW_MS + 1), NOW_MS).unwrap();
    assert!(follower.knows_circle_key(&issuer.key.spki_der()));
    let kept = Follower::from_bytes(&follower.to_bytes()).unwrap();
    for follower in [&follower, &kept] {
        assert_eq!(verify(follower, &revocable(9)), Ok(()));
        assert_eq!(why(verify(follower, &revocable(1))), Revocation::Listed);
        assert_eq!(follower.token_keys().len(), 1, "of another issuer it can tell no key");
    }
    issuer.entries.push(FeedEntry::KeyRetired { key: kid(OWN_CERTIFICATE) });
    assert!(!follower.take(&issuer.after(4)).unwrap());
    assert!(unknown(verify(&follower, &revocable(9))), "its issuer let it go");
}

proptest! {
    #[test]
    fn a_follower_reads_back_and_no_cut_of_it_does(
        entries in vec(an_entry(), 0..20),
        at in any::<prop::sample::Index>(),
    ) {
        let kept = Issuer::of(&entries).followed().to_bytes();
        let back = Follower::from_bytes(&kept).map(|follower| follower.to_bytes());
        prop_assert_eq!(back.as_ref(), Some(&kept));
        prop_assert!(Follower::from_bytes(&kept[..at.index(kept.len())]).is_none());
    }

    #[test]
    fn any_flipped_bit_of_a_head_is_refused(bit in any::<prop::sample::Index>()) {
        let issuer = Issuer::of(&[listed(1)]);
        let mut follower = issuer.followed();
        let mut head = issuer.head(issuer.end(), NOW_MS + 1);
        let bit = bit.index(head.len() * 8);
        head[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(follower.take_head(&head, NOW_MS).is_err(), "bit {}", bit);
    }
}
