//! What an import did to each token of its list: found apart from the product's own way through it.

use circlet_authority::{ImportTokens, State};

use super::forgetting::listed;
use crate::history::Event;
use crate::scope::Scope;

/// Looks at an import that was not refused: what is there stays as it is, what was revoked stays away, and what is new is
/// issued.
pub(super) fn tell(scope: &Scope, before: &State, after: &State, import: &ImportTokens) {
    let (node, index, revoked) = (scope.node(), after.index(), listed(before));
    for token in &import.tokens {
        let id = token.id;
        let (was, is) = (before.token(&id), after.token(&id));
        let what = match (was, is) {
            (Some(was), is) if is != Some(was) => "is another than before",
            (None, Some(_)) if revoked.contains_key(&id) => "is there again, though it was revoked",
            (None, None) if !revoked.contains_key(&id) => "is not there",
            (None, Some(record)) => {
                scope.history().note_issued(record);
                continue;
            }
            _ => continue,
        };
        scope.history().tell(&Event::ImportedWrong { node, index, id, what });
    }
}
