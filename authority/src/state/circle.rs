//! Reading the circle: our own feed, and the members whose feeds we follow.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use circlet_token::{
    KeyId, ServiceId, TokenId,
    feed::{
        FEED_CERTIFICATE_BYTES_MAX, FEED_CONTENT_BYTES_MAX, FeedEntry, FeedPosition, FeedWhom, subject_digest,
    },
};

use super::{Link, State, followed::as_feed_mark};
use crate::{
    command::Whom,
    record::{Approved, CircleKey, Invite, IssuerLimits, Key, KeyState, Member, Watermark},
};

/// A part of the list of everything that is revoked here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    /// The bytes of its entries.
    pub entries: Vec<u8>,
    /// What to ask for next; empty after the last page.
    pub next: Vec<u8>,
}

impl State {
    /// Where our own feed stands.
    #[must_use]
    pub fn feed_end(&self) -> FeedPosition {
        FeedPosition { generation: self.generation(), ..*self.revocations.feed().end() }
    }

    /// What our feed holds after `at`, as many entries as one answer takes: their bytes, and where they lead. `None` if
    /// the chain didn't pass through there, or too long ago.
    #[must_use]
    pub fn feed_after(&self, at: &FeedPosition) -> Option<(Vec<u8>, FeedPosition)> {
        let feed = self.revocations.feed();
        if at.generation != self.generation() || !feed.holds(at.sequence, &at.hash) {
            return None;
        }
        let (mut bytes, mut to) = (Vec::new(), *at);
        for Link { sequence, entry, hash } in feed.after(at.sequence) {
            if bytes.len() >= FEED_CONTENT_BYTES_MAX.saturating_sub(ENTRY_BYTES_MAX) {
                break;
            }
            entry.put(&mut bytes);
            to = FeedPosition { sequence: *sequence, hash: *hash, ..*at };
        }
        Some((bytes, to))
    }

    /// The page of the list behind a cursor, which is the last entry before it; `None` if it is no cursor.
    #[must_use]
    pub fn feed_page(&self, cursor: &[u8]) -> Option<FeedPage> {
        let mut rest = cursor;
        let after = if cursor.is_empty() { None } else { Some(FeedEntry::take(&mut rest)?) };
        let (mut entries, mut last) = (Vec::new(), None);
        for entry in self.feed_list(after.as_ref()) {
            if entries.len() >= FEED_CONTENT_BYTES_MAX.saturating_sub(ENTRY_BYTES_MAX) {
                let next = last.map(|entry| as_cursor(entry).to_bytes()).unwrap_or_default();
                return Some(FeedPage { entries, next });
            }
            entry.put(&mut entries);
            last = Some(entry);
        }
        Some(FeedPage { entries, next: Vec::new() })
    }

    /// Everything that is revoked, in a fixed order, behind one entry of it: keys, watermarks by whom they are about and
    /// their first second, ids of which nothing is known, and the others by expiry. The keys that verify come first, so that
    /// whoever reads on has them; which of them signs is not said.
    fn feed_list(&self, after: Option<&FeedEntry>) -> impl Iterator<Item = FeedEntry> {
        let first = self.feed_list_but_ids(after);
        let behind = match after {
            Some(FeedEntry::Unseen { id, .. }) => Bound::Excluded(*id),
            _ => Bound::Unbounded,
        };
        let unseen = self.revocations.unseen_behind(behind);
        let unseen = unseen.map(|(id, until)| FeedEntry::Unseen { until: *until, id: *id });
        let unseen =
            unseen.take(if matches!(after, Some(FeedEntry::Listed { .. })) { 0 } else { usize::MAX });
        let behind = match after {
            Some(FeedEntry::Listed { expiry, id }) => Bound::Excluded((*expiry, *id)),
            _ => Bound::Unbounded,
        };
        let listed = self.revocations.listed_behind(behind);
        let listed =
            listed.map(|(expiry, id): &(u64, TokenId)| FeedEntry::Listed { expiry: *expiry, id: *id });
        first.into_values().chain(unseen).chain(listed)
    }

    /// Few, and so put in order anew for each page: a stretch that a later watermark cut in two is behind what was told
    /// of it before, or told already.
    fn feed_list_but_ids(&self, after: Option<&FeedEntry>) -> BTreeMap<Place, FeedEntry> {
        let mut entries = BTreeMap::new();
        if matches!(after, Some(FeedEntry::Unseen { .. } | FeedEntry::Listed { .. })) {
            return entries;
        }
        let keys = self.keyring.values().filter_map(|key| as_told(key));
        let marks = self.watermarks.iter().filter_map(|(whom, mark)| self.as_feed_entry(&whom, &mark));
        let after = after.and_then(place);
        for entry in keys.chain(marks) {
            let Some(place) = place(&entry) else { continue };
            if after.as_ref().is_none_or(|after| place > *after) {
                entries.insert(place, entry);
            }
        }
        entries
    }

    /// A watermark as our feed tells it; `None` if it is about what others have issued.
    pub(crate) fn as_feed_entry(&self, whom: &Whom, mark: &Watermark) -> Option<FeedEntry> {
        let whom = match whom {
            Whom::Everyone => FeedWhom::Everyone,
            Whom::Key(kid) => self.keyring.contains_key(kid).then(|| FeedWhom::Key(kid.clone()))?,
            Whom::Subject(subject) => {
                self.is_us(subject.service()).then(|| FeedWhom::Subject(subject_digest(subject)))?
            }
            Whom::Subjects { service, start } => {
                self.is_us(service).then(|| FeedWhom::Start(start.clone()))?
            }
            Whom::Group(name) => FeedWhom::Group(name.clone()),
        };
        Some(FeedEntry::Mark { whom, mark: as_feed_mark(mark) })
    }

    /// Our circle key; `None` until it is needed for the first time.
    #[must_use]
    pub fn circle_key(&self) -> Option<&Arc<CircleKey>> {
        self.circle_key.as_ref()
    }

    /// The members whose feeds are followed, ordered by id.
    pub fn members_followed(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.values()
    }

    /// A member whose feed is followed.
    #[must_use]
    pub fn member(&self, issuer: &ServiceId) -> Option<&Arc<Member>> {
        self.members.get(issuer.ulid())
    }

    /// How many entries the list of a member has.
    #[must_use]
    pub fn followed_count(&self, issuer: &ServiceId) -> usize {
        self.followed.get(issuer.ulid()).map_or(0, super::Followed::len)
    }

    /// The list of a member, as entries in a fixed order.
    pub fn followed_entries(&self, issuer: &ServiceId) -> impl Iterator<Item = FeedEntry> {
        self.followed.get(issuer.ulid()).into_iter().flat_map(super::Followed::entries)
    }

    /// Our own list, as entries in a fixed order, without the keys that verify.
    pub fn revoked_entries(&self) -> impl Iterator<Item = FeedEntry> {
        self.feed_list(None).filter(|entry| !matches!(entry, FeedEntry::KeyShown { .. }))
    }

    /// What all certificates of an issuer allow its tokens here; `None` if none of them is trusted.
    #[must_use]
    pub fn shared_limits(&self, issuer: &ServiceId) -> Option<IssuerLimits> {
        let all = self.circle.values().filter(|known| known.issuer.same_service(issuer));
        all.map(|known| known.limits.clone()).reduce(|one, other| one.and(&other))
    }

    /// Whether the feed of an issuer said that one of its keys verifies nothing any more.
    #[must_use]
    pub fn has_ended(&self, issuer: &ServiceId, kid: &KeyId) -> bool {
        self.followed.get(issuer.ulid()).is_some_and(|list| list.has_ended(kid))
    }

    /// Whether a member may have our tokens revoked.
    #[must_use]
    pub fn member_may_revoke(&self, issuer: &ServiceId) -> bool {
        let mutual = self.member(issuer).is_some_and(|member| member.mutual);
        mutual && self.shared_limits(issuer).is_some_and(|limits| limits.revoke)
    }

    /// The members that follow us and have not said that they know this key of ours.
    pub fn members_unaware<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a Arc<Member>> {
        self.members.values().filter(|member| member.mutual && member.taken < key.told_at)
    }

    /// The published key that a member would be noted to know, having taken over our feed up to `at`.
    #[must_use]
    pub fn news_of(&self, member: &Member, at: &FeedPosition) -> Option<&Key> {
        let key = self.next_key().filter(|key| member.taken < key.told_at && key.told_at <= at.sequence)?;
        self.passed_through(at).then_some(key)
    }

    /// Whether our feed passed through there, as far back as is known.
    pub(crate) fn passed_through(&self, at: &FeedPosition) -> bool {
        let feed = self.revocations.feed();
        at.generation == self.generation() && feed.holds(at.sequence, &at.hash)
    }

    /// An invitation by the SHA-256 of its secret.
    #[must_use]
    pub fn invite(&self, hash: &[u8; 32]) -> Option<&Arc<Invite>> {
        self.invites.get(hash)
    }

    /// Whether a member is approved as exactly this.
    #[must_use]
    pub fn is_approved(&self, approved: &Approved) -> bool {
        self.member(&approved.issuer).is_some_and(|member| member.approved == *approved)
    }
}

/// More than any entry takes.
const ENTRY_BYTES_MAX: usize = FEED_CERTIFICATE_BYTES_MAX + 64;

/// A key as the list tells it; `None` if its certificate is too large for that.
fn as_told(key: &Key) -> Option<FeedEntry> {
    let certificate = &key.certificate_der;
    match key.state {
        KeyState::Tainted => Some(FeedEntry::Tainted { key: key.kid.clone() }),
        KeyState::Retired => Some(FeedEntry::KeyRetired { key: key.kid.clone() }),
        KeyState::Published | KeyState::Active | KeyState::Retiring => (certificate.len()
            <= FEED_CERTIFICATE_BYTES_MAX)
            .then(|| FeedEntry::KeyShown { certificate: certificate.clone() }),
    }
}

/// What stands for an entry in a cursor: a certificate would be too long for that.
fn as_cursor(entry: FeedEntry) -> FeedEntry {
    match entry {
        FeedEntry::KeyShown { certificate } => {
            FeedEntry::KeyActive { key: KeyId::of_certificate(&certificate) }
        }
        entry => entry,
    }
}

/// Where an entry that is no id stands in the list.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Shown(KeyId),
    Tainted(KeyId),
    Retired(KeyId),
    Mark(FeedWhom, u64),
}

fn place(entry: &FeedEntry) -> Option<Place> {
    match entry {
        FeedEntry::KeyShown { certificate } => Some(Place::Shown(KeyId::of_certificate(certificate))),
        FeedEntry::KeyActive { key } => Some(Place::Shown(key.clone())),
        FeedEntry::Tainted { key } => Some(Place::Tainted(key.clone())),
        FeedEntry::KeyRetired { key } => Some(Place::Retired(key.clone())),
        FeedEntry::Mark { whom, mark } => Some(Place::Mark(whom.clone(), mark.since)),
        FeedEntry::Unseen { .. } | FeedEntry::Listed { .. } | FeedEntry::CircleKey(_) => None,
    }
}
