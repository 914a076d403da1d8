//! Following a feed without a node of one's own.

mod state;

use std::collections::BTreeMap;

use super::{
    CirclePublicKey, DatedHead, FEED_ANSWER_BYTES_MAX, FeedAnswer, FeedEntry, FeedFault, FeedHeard, FeedList,
    FeedPosition, FeedStep, Question, check_answer, check_token_key,
};
use crate::{KeyId, KeySet, PublicKey, Reject, Revocation, ServiceId, Verified};

/// How far ahead of the verifier's clock a head may be dated, in milliseconds: clocks of an issuer's nodes may be off by
/// five seconds.
pub const HEAD_AHEAD_MS_MAX: u64 = 5_000;

/// Token keys that one feed may tell; as many as a cluster takes over.
const SHOWN_KEYS_MAX: usize = 64;

/// An id is kept for so long after its token has expired, in seconds.
const FORGET_MARGIN_SECS: u64 = 3_600;

/// One issuer's revocations, followed from bytes that the caller fetches, by a clock that the caller reads.
///
/// # What it promises
///
/// A revocable token is good only while the newest [`DatedHead`] is valid and everything up to it is known. A verification
/// later than the head's `valid_for_ms` after a revoke was acknowledged refuses what was revoked, give or take the clocks: the
/// bound is `valid_for_ms`, plus what the clock of the node that signed is ahead, plus what the verifier's clock is behind.
/// A head dated more than [`HEAD_AHEAD_MS_MAX`] ahead of the verifier's clock is refused. What is known to be revoked is
/// refused at any time, plain tokens too.
///
/// Its head never goes backwards, nor does its clock, as long as the caller keeps [`Follower::to_bytes`] and begins with
/// [`Follower::from_bytes`] after a restart. Whoever can write those bytes decides what is known to be revoked: keep them
/// like the certificates.
#[derive(Clone)]
pub struct Follower {
    issuer: ServiceId,
    /// Oldest first: the last one is believed.
    circle_keys: Vec<CirclePublicKey>,
    /// The certificates that the feed tells, and the keys in them.
    shown: BTreeMap<KeyId, Vec<u8>>,
    token_keys: KeySet,
    entries_max: u64,
    list: FeedList,
    progress: Progress,
    head: Option<DatedHead>,
    clock_ms: u64,
}

#[derive(Clone)]
enum Progress {
    /// The list is read, page by page: where its first page stood, and how far the feed was known before.
    Reading { from: Option<FeedPosition>, next: Vec<u8>, before: Option<FeedPosition> },
    /// All is known up to here.
    Following(FeedPosition),
    /// The issuer's signature proves that it contradicted itself.
    Broken,
}

/// What a follower needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedWant {
    /// A page of the list: `GET /circlet/v1/feed/list` with this cursor.
    Page(Vec<u8>),
    /// What comes after this position: `GET /circlet/v1/feed`.
    Entries(FeedPosition),
    /// Nothing: the feed contradicted itself, and a person has to begin anew.
    Nothing,
}

/// Why a dated head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// Its bytes are none.
    #[error("the head can't be read")]
    Unreadable,
    /// It is not signed with the issuer's circle key.
    #[error("the head is not signed with the issuer's circle key")]
    Signature,
    /// It is the head of somebody else's feed.
    #[error("the head is about another issuer")]
    Issuer,
    /// It is dated ahead of the verifier's clock: that one is behind, or the issuer's is ahead.
    #[error("the head is dated {ahead_ms} ms ahead of this clock, at most {HEAD_AHEAD_MS_MAX} are allowed")]
    Ahead {
        /// How far.
        ahead_ms: u64,
    },
    /// A later one is known.
    #[error("a later head is known")]
    Older,
    /// It stands where the feed has not been read yet: read on, and offer it again.
    #[error("the feed must be read on before the head counts")]
    Unread,
    /// It contradicts what the issuer signed before.
    #[error("the head contradicts what its issuer had signed")]
    Fork,
}

impl Follower {
    /// Begins to follow. `circle_key` is the issuer's circle key, DER `SubjectPublicKeyInfo`; `None` if it is no Ed25519 key.
    /// Of a feed with more than `entries_max` entries nothing further is taken, and its revocable tokens are refused.
    #[must_use]
    pub fn new(issuer: &ServiceId, circle_key: &[u8], entries_max: u64) -> Option<Self> {
        Some(Self {
            issuer: issuer.clone(),
            circle_keys: vec![CirclePublicKey::of_spki(circle_key)?],
            shown: BTreeMap::new(),
            token_keys: KeySet::new(),
            entries_max,
            list: FeedList::default(),
            progress: Progress::Reading { from: None, next: Vec::new(), before: None },
            head: None,
            clock_ms: 0,
        })
    }

    /// Whose feed it is.
    #[must_use]
    pub fn issuer(&self) -> &ServiceId {
        &self.issuer
    }

    /// Whether this is a circle key of its issuer, DER `SubjectPublicKeyInfo`: one that it began with, or that the feed led to.
    #[must_use]
    pub fn knows_circle_key(&self, spki_der: &[u8]) -> bool {
        CirclePublicKey::of_spki(spki_der).is_some_and(|key| self.circle_keys.contains(&key))
    }

    /// The token keys that the feed tells, which may sign before anybody has brought their certificates.
    #[must_use]
    pub fn token_keys(&self) -> &KeySet {
        &self.token_keys
    }

    /// How many entries are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing is known to be revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The newest head.
    #[must_use]
    pub fn head(&self) -> Option<&DatedHead> {
        self.head.as_ref()
    }

    /// Up to where everything is known.
    #[must_use]
    pub fn known(&self) -> Option<FeedPosition> {
        match &self.progress {
            Progress::Reading { before, .. } => *before,
            Progress::Following(at) => Some(*at),
            Progress::Broken => None,
        }
    }

    /// What to fetch next. Any node, file or cache may give it: what is taken is signed.
    #[must_use]
    pub fn want(&self) -> FeedWant {
        match &self.progress {
            Progress::Reading { next, .. } => FeedWant::Page(next.clone()),
            Progress::Following(at) => FeedWant::Entries(*at),
            Progress::Broken => FeedWant::Nothing,
        }
    }

    /// Takes what was wanted; returns whether there is more to fetch at once.
    ///
    /// # Errors
    /// What is wrong with it. Nothing of it counts then, and after [`FeedFault::Fork`] the feed is not believed any more.
    pub fn take(&mut self, bytes: &[u8]) -> Result<bool, FeedFault> {
        let readable = bytes.len() <= FEED_ANSWER_BYTES_MAX;
        let answer = readable.then(|| FeedAnswer::read(bytes)).flatten().ok_or(FeedFault::Unreadable)?;
        let (reading, cursor) = match &self.progress {
            Progress::Reading { from, next, .. } => (*from, next.clone()),
            Progress::Following(_) => (None, Vec::new()),
            Progress::Broken => return Err(FeedFault::Fork),
        };
        let question = Question {
            issuer: &self.issuer,
            keys: &self.circle_keys,
            // Whoever fetched it drew the nonce; that the feed is fresh the dated head shows.
            nonce: answer.head.nonce,
            at: self.known(),
            reading,
            cursor: Some(&cursor),
        };
        let heard = check_answer(&question, &answer);
        // That it went back proves nothing here: an old answer is no lie.
        if let Err(FeedFault::Fork | FeedFault::KeyFork | FeedFault::Succession) = heard {
            self.progress = Progress::Broken;
        }
        let FeedHeard { successions, step } = heard?;
        self.circle_keys.extend(successions.iter().map(|succession| succession.next));
        self.follow(step)
    }

    fn follow(&mut self, step: FeedStep) -> Result<bool, FeedFault> {
        let before = self.known();
        match step {
            FeedStep::Unchanged => Ok(false),
            FeedStep::ReadList => {
                self.progress = Progress::Reading { from: None, next: Vec::new(), before };
                Ok(true)
            }
            FeedStep::Entries { entries, to, complete } => {
                self.add(entries)?;
                self.progress = Progress::Following(to);
                Ok(!complete)
            }
            FeedStep::Page { entries, from, next } => {
                self.add(entries)?;
                self.progress = if next.is_empty() {
                    Progress::Following(from)
                } else {
                    Progress::Reading { from: Some(from), next, before }
                };
                // The chain goes on from where the first page stood.
                Ok(true)
            }
        }
    }

    /// More than one answer beyond what is allowed is never kept.
    fn add(&mut self, entries: Vec<FeedEntry>) -> Result<(), FeedFault> {
        if self.is_over_quota() {
            return Err(FeedFault::TooMany);
        }
        for entry in entries {
            if let FeedEntry::KeyShown { certificate } = &entry {
                self.show(certificate);
            }
            self.list.add(entry);
        }
        if self.is_over_quota() { Err(FeedFault::TooMany) } else { Ok(()) }
    }

    /// A key that can't be used, or is one too many, signs nothing that is believed.
    fn show(&mut self, certificate: &[u8]) {
        if self.shown.len() >= SHOWN_KEYS_MAX || check_token_key(&self.issuer, certificate).is_err() {
            return;
        }
        if let Ok(key) = PublicKey::from_certificate(certificate, Some(&self.issuer)) {
            let kid = key.id().clone();
            if self.token_keys.insert(key).is_ok() {
                self.shown.insert(kid, certificate.to_vec());
            }
        }
    }

    fn is_over_quota(&self) -> bool {
        u64::try_from(self.list.len()).unwrap_or(u64::MAX) > self.entries_max
    }

    /// Takes a dated head (`GET /circlet/v1/feed/head`); the same one again changes nothing. `now_ms` is the verifier's clock,
    /// in milliseconds since 1970.
    ///
    /// # Errors
    /// Why it doesn't count. The head before goes on counting as long as it is valid, but for [`HeadFault::Fork`]: then the
    /// feed is not believed any more.
    pub fn take_head(&mut self, bytes: &[u8], now_ms: u64) -> Result<(), HeadFault> {
        let head = DatedHead::read(bytes).ok_or(HeadFault::Unreadable)?;
        if !head.issuer.same_service(&self.issuer) {
            return Err(HeadFault::Issuer);
        }
        if !self.circle_keys.last().is_some_and(|key| head.is_signed_by(*key)) {
            return Err(HeadFault::Signature);
        }
        let now_ms = self.not_before(now_ms);
        let ahead_ms = head.issued_at_ms.saturating_sub(now_ms);
        if ahead_ms > HEAD_AHEAD_MS_MAX {
            return Err(HeadFault::Ahead { ahead_ms });
        }
        if self.head.as_ref() == Some(&head) {
            return Ok(());
        }
        if self.head.as_ref().is_some_and(|known| head.order() <= known.order()) {
            return Err(HeadFault::Older);
        }
        self.check_place(&head.position)?;
        // It was signed before now, so now is not before it.
        self.clock_ms = now_ms.max(head.issued_at_ms);
        self.list.forget_expired((self.clock_ms / 1_000).saturating_sub(FORGET_MARGIN_SECS));
        self.head = Some(head);
        Ok(())
    }

    /// Whether all that led to a head is known.
    fn check_place(&mut self, position: &FeedPosition) -> Result<(), HeadFault> {
        let known = self.known().filter(|at| at.generation == position.generation);
        let Some(at) = known.filter(|at| at.sequence >= position.sequence) else {
            return Err(HeadFault::Unread);
        };
        if at.sequence == position.sequence && at.hash != position.hash {
            self.progress = Progress::Broken;
            return Err(HeadFault::Fork);
        }
        Ok(())
    }

    /// A clock that was set back doesn't make a head last longer.
    fn not_before(&self, now_ms: u64) -> u64 {
        now_ms.max(self.clock_ms)
    }

    /// Whether a token of this issuer, whose signature, time and audience were found good, is good as far as revocations go.
    /// `now_ms` is the verifier's clock, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Reject::Revoked`], and why; or [`Reject::UnknownKey`], if its key has been let go.
    pub fn judge(&self, verified: &Verified, now_ms: u64) -> Result<(), Reject> {
        let revoked = |why| Err(Reject::Revoked { why });
        if let Some(why) = self.list.revocation(verified) {
            return revoked(why);
        }
        if self.list.is_retired(&verified.key) {
            let kid = Some(verified.key.as_str().to_owned());
            return Err(Reject::UnknownKey { kid, issuer: self.issuer.clone() });
        }
        if !can_be_revoked(verified) {
            return Ok(());
        }
        let issuer = self.issuer.clone();
        // What carries no index may have been revoked by being forgotten.
        if verified.claims.id.is_none() || verified.claims.index.is_none() {
            return revoked(Revocation::ForeignRevocable { issuer });
        }
        if matches!(self.progress, Progress::Broken) {
            return revoked(Revocation::ForeignUnknown { issuer, why: "its feed contradicted itself" });
        }
        let Some(head) = &self.head else {
            return revoked(Revocation::ForeignUnknown { issuer, why: "no head of its feed has come" });
        };
        let now_ms = self.not_before(now_ms);
        if now_ms < head.expires_at_ms() {
            return Ok(());
        }
        let age_ms = Some(now_ms.saturating_sub(head.issued_at_ms));
        revoked(Revocation::ForeignStale { issuer, age_ms, max_ms: head.valid_for_ms })
    }
}

/// As its issuer marked it, or because it would never end otherwise.
pub(crate) fn can_be_revoked(verified: &Verified) -> bool {
    verified.claims.revocable == Some(true) || verified.claims.expires_at.is_none()
}
