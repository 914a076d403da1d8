//! When a token was last used, as lists say it: not before what a node was told was noted, never earlier than it was said to
//! be in an earlier state, and never later than the state's time. Of a token that is gone nothing is left.

use std::collections::BTreeMap;

use circlet_token::TokenId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct LastUsed {
    /// Uses that were noted: when that was acknowledged, and when they were, in seconds.
    noted: BTreeMap<TokenId, Vec<(u64, u64)>>,
    /// What was said of each token, by the index of the state that said it.
    said: BTreeMap<TokenId, BTreeMap<u64, Option<u64>>>,
}

impl LastUsed {
    /// The latest use that had been noted before `sent`.
    fn noted(&self, id: &TokenId, sent: u64) -> Option<u64> {
        let noted = self.noted.get(id).into_iter().flatten();
        noted.filter(|(acknowledged, _)| *acknowledged < sent).map(|(_, at)| *at).max()
    }
}

impl Invariant for LastUsed {
    fn name(&self) -> &'static str {
        "last-used"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::UsesNoted { uses } => {
                for (id, at) in uses {
                    self.noted.entry(*id).or_default().push((now, *at));
                }
            }
            Event::LastUsed { id, index, at, now_secs, sent } => {
                let noted = self.noted(id, *sent);
                if *at < noted {
                    return Err(format!(
                        "at {index} token {id} was last used at {at:?}, and {noted:?} was noted"
                    ));
                }
                if at.is_some_and(|at| at > *now_secs) {
                    return Err(format!(
                        "at {index}, in second {now_secs}, token {id} was last used at {at:?}"
                    ));
                }
                let said = self.said.entry(*id).or_default();
                let earlier = said.range(..=*index).next_back().is_some_and(|(_, before)| at < before);
                let later = said.range(*index..).next().is_some_and(|(_, after)| after < at);
                if earlier || later {
                    return Err(format!("the last use of token {id} went back: {at:?} at {index}; {said:?}"));
                }
                said.insert(*index, *at);
            }
            Event::UsedWhenGone { id, index } => {
                return Err(format!("at {index} it is known when token {id} was used, and nothing else"));
            }
            // Lists of the next cluster may have none of it.
            Event::Begun { .. } => *self = Self::default(),
            _ => {}
        }
        Ok(())
    }
}
