//! Ending what was created with a revoked token, and what was created with that.
//!
//! One command looks at a bounded number of tokens. What is left is part of the state: the same revoke proposed again
//! goes on with it, and so does the marking before a purge, should nobody propose it again.

use std::iter::successors;

use circlet_token::TokenId;

use crate::{
    outcome::Descendants,
    record::{Origin, TokenRecord},
    state::State,
};

impl State {
    /// What tokens that are created with this one come from; of a revoked one, as far back as that is remembered.
    pub(crate) fn origin_of(&self, id: TokenId) -> Origin {
        if let Some(record) = self.tokens.get(&id) {
            return record.as_origin();
        }
        let family = self.revocations.lately(&id).and_then(|lately| lately.family);
        family.map_or(Origin::Token(id), Origin::Family)
    }

    /// End what comes from `origin`, and whatever an earlier command has left to do.
    pub(super) fn end_descendants(&mut self, origin: Origin) -> Descendants {
        // A repeat goes on where the one before has ended: what lives on would be all that it meets otherwise.
        self.cascades.entry(origin).or_insert(None);
        self.go_on_ending_descendants()
    }

    /// A token that is not revocable lives on, and what was created with it ends.
    pub(super) fn go_on_ending_descendants(&mut self) -> Descendants {
        let mut found = Descendants::default();
        let mut room = self.cascade_step;
        while let Some((origin, after)) = self.cascades.get_min().copied() {
            let children: Vec<TokenId> = self.tokens.created_with(origin, after).take(room).collect();
            let Some(last) = children.last().copied() else {
                if room == 0 {
                    found.more = true;
                    break;
                }
                self.cascades.remove(&origin);
                continue;
            };
            room = room.saturating_sub(children.len());
            self.cascades.insert(origin, Some(last));
            for child in children {
                self.end_child(child, &mut found);
            }
        }
        found
    }

    /// A token that comes of a revoked one while its descendants are being ended may stand, in the order of ids, before those
    /// that were looked at: the successor of one that was not. Or it was created with one that was looked at, and lives on.
    /// What was created with that is looked through anew.
    pub(super) fn notice_descendant(&mut self, record: &TokenRecord) {
        let Some(origin) = record.origin else { return };
        if self.comes_of_ending(record) {
            self.cascades.insert(origin, None);
        }
    }

    /// Whether a new token was created with what a revoke has left to end, or with what was created with that.
    fn comes_of_ending(&self, record: &TokenRecord) -> bool {
        if self.cascades.is_empty() {
            return false;
        }
        // No line is longer than there are tokens, with the new one.
        let line = successors(Some(record), |record| self.created_by(record))
            .take(self.tokens.len().saturating_add(1));
        line.filter_map(|record| record.origin).any(|origin| self.cascades.contains_key(&origin))
    }

    /// The token with which one was created, or the latest of its family.
    fn created_by(&self, record: &TokenRecord) -> Option<&TokenRecord> {
        let latest = || match record.origin? {
            Origin::Token(_) => None,
            Origin::Family(family) => self.tokens.get(&self.families.get(&family)?.current),
        };
        let parent = record.parent.and_then(|parent| self.tokens.get(&parent));
        parent.or_else(latest).map(AsRef::as_ref)
    }

    fn end_child(&mut self, id: TokenId, found: &mut Descendants) {
        let Some(record) = self.tokens.get(&id).cloned() else { return };
        let origin = record.as_origin();
        if self.tokens.created_with(origin, None).next().is_some() {
            self.cascades.entry(origin).or_insert(None);
        }
        let family = record.family.map(|(family, _)| family);
        if let Some(family) = family {
            self.end_family(family);
        }
        if !record.revocable {
            found.living = found.living.saturating_add(1);
            return;
        }
        if self.tokens.remove(&id).is_some() {
            self.revocations.list(id, record.expiry(), family);
        }
        found.ended = found.ended.saturating_add(1);
    }
}
