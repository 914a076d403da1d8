//! What a view answers to whoever follows our feed. The view must have been proved fresh after the question came.

use circlet_authority::{NoteTaken, State};
use circlet_token::ServiceId;
use circlet_token::feed::{FeedContent, FeedPosition, Taken};

/// What was revoked after a position, and where the chain stands behind it.
#[must_use]
pub fn entries(view: &State, at: &FeedPosition) -> (FeedContent, FeedPosition) {
    match view.feed_after(at) {
        Some((entries, to)) => (FeedContent::Entries { after: at.sequence, entries }, to),
        None => (FeedContent::Elsewhere, view.feed_end()),
    }
}

/// The page of the list behind a cursor, and where the chain stands; `None` if it is no cursor.
#[must_use]
pub fn page(view: &State, cursor: &[u8]) -> Option<(FeedContent, FeedPosition)> {
    let page = view.feed_page(cursor)?;
    Some((
        FeedContent::Page { cursor: cursor.to_vec(), entries: page.entries, next: page.next },
        view.feed_end(),
    ))
}

/// What the cluster is to note when somebody says that a member has taken over our feed up to a point: nothing, unless a key
/// waits for that and the member's circle key signed it.
#[must_use]
pub fn note(view: &State, member: &ServiceId, at: FeedPosition, signature: &[u8]) -> Option<NoteTaken> {
    let (known, issuer) = (view.member(member)?, view.service_id()?);
    view.news_of(known, &at)?;
    let taken = Taken { issuer, member, at };
    let signed = known.circle_key().is_some_and(|key| taken.is_signed_by(key, signature));
    signed.then(|| NoteTaken { issuer: member.clone(), member: known.since_index, at })
}
