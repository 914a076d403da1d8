//! What a view answers to whoever follows our feed. The view must have been proved fresh after the question came.

use circlet_authority::State;
use circlet_token::feed::{FeedContent, FeedPosition};

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
